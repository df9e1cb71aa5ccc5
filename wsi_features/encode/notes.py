"""What a person should know of how an encoder ran, none of which is an error."""

from __future__ import annotations

import logging

_log = logging.getLogger("wsi_features")


class Notes:
    """Texts in the order in which they first came up; each is also logged as a warning, once."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def add(self, text: str) -> None:
        """Keep a text, unless it is known."""
        if text not in self._times:
            self._times[text] = 1
            _log.warning("%s", text)

    def count(self, text: str) -> None:
        """One more of what may happen often: `{}` in `text` stands for how often it has."""
        if text not in self._times:
            _log.warning("%s", text.replace("{}", "some"))
        self._times[text] = self._times.get(text, 0) + 1

    @property
    def texts(self) -> tuple[str, ...]:
        """All so far."""
        return tuple(text.replace("{}", str(times)) for text, times in self._times.items())
