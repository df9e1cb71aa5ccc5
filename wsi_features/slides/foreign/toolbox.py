"""tiatoolbox's reader classes, without what importing and using them does to the process.

Measured on 2.1.3: the import takes 6 s, adds two handlers to the root logger and sets its level, turns
warnings into log records, and its constructors log to the root logger.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

_lock = RLock()


@contextmanager
def toolbox() -> Iterator[Any]:
    """The module `tiatoolbox.wsicore.wsireader`; the root logger and the warning filters are as before afterwards."""
    with _lock, _root_logger_kept(), warnings.catch_warnings():
        shown = warnings.showwarning
        # Some of what it imports warns, and crashes the interpreter when its warnings are errors (measured).
        warnings.simplefilter("ignore")
        from tiatoolbox.wsicore import wsireader

        try:
            yield wsireader
        finally:
            if warnings.showwarning is not shown:
                logging.captureWarnings(capture=False)


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers, filters = root.level, list(root.handlers), list(root.filters)
    root.addFilter(_not_from_tiatoolbox)
    try:
        yield
    finally:
        root.removeFilter(_not_from_tiatoolbox)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
        for found in [found for found in root.filters if found not in filters]:
            root.removeFilter(found)
        root.setLevel(level)


def _not_from_tiatoolbox(record: logging.LogRecord) -> bool:
    return "tiatoolbox" not in record.pathname
