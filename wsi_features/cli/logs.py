"""Where log lines go: a file beside the results, never the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def logging_to(path: str | Path) -> Iterator[None]:
    """Append the package's log to `path` within the block, and what libraries warn of, which would be printed else."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("wsi_features")
    level = logger.level
    logging.getLogger().addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        logger.setLevel(level)
        handler.close()
