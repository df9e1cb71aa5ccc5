"""What a person should know of how an encoder ran, none of which is an error."""

from __future__ import annotations

import logging

_log = logging.getLogger("wsi_features")


class Notes:
    """Texts in the order in which they came up, each once; every one is also logged as a warning."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Keep and log a text, unless it is known."""
        if text not in self._texts:
            self._texts.append(text)
            _log.warning("%s", text)

    @property
    def texts(self) -> tuple[str, ...]:
        """All so far."""
        return tuple(self._texts)
