"""Text for logs without secrets and without places outside a run's own folders: logs are sent to colleagues and vendors."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_HIDDEN = "[hidden]"

_NAME_OF_ONE = r"[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key|credential|authorization)[\w-]*"
"""Names, in any case, whose values are secrets."""

_SECRETS = (
    (
        re.compile(rf"(?i)\b({_NAME_OF_ONE})(['\"]?\s*[=:]\s*)(?:(?:bearer|basic)\s+)?['\"]?[^\s'\",;&)]+"),
        rf"\1\2{_HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{12,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"\b(?:hf_[A-Za-z0-9]{10,}|gh[a-z]_[A-Za-z0-9]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16})"), _HIDDEN),
    (re.compile(r"(\w+://)[^\s/@'\"]+@"), rf"\1{_HIDDEN}@"),
    (re.compile(r"(?i)([?&](?:x-amz-[\w-]+|sig|signature)=)[^\s&'\"]+"), rf"\1{_HIDDEN}"),
)

_QUOTED = re.compile(r"(['\"])(/[^'\"\n]*)\1")
_BARE = re.compile(r"(?<![\w…:/.~\]\"'])/(?:[^\s'\"/:,;()\[\]]+/)*[^\s'\"/:,;()\[\]]+")
_SHORTEST = 8
"""Characters of an environment variable's value below which it is too common a word to be looked for."""


class Scrubber:
    """Hides secrets, and shows paths as seen from `roots`: one outside them keeps its last part only."""

    def __init__(self, roots: Sequence[Path], environment: Mapping[str, str] = os.environ) -> None:
        own = [Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix)]
        self._roots = [os.path.realpath(root) for root in (*roots, *own)]
        self._values = [
            value
            for name, value in environment.items()
            if re.fullmatch(f"(?i){_NAME_OF_ONE}|.*_key", name) and len(value) >= _SHORTEST
        ]

    def clean(self, text: str) -> str:
        """The text as it may be written to a log."""
        for value in self._values:
            text = text.replace(value, _HIDDEN)
        for pattern, instead in _SECRETS:
            text = pattern.sub(instead, text)
        text = _QUOTED.sub(lambda found: f"{found[1]}{self._shown(found[2])}{found[1]}", text)
        return _BARE.sub(lambda found: self._shown(found[0]), text)

    def _shown(self, path: str) -> str:
        """The path from the first root that holds it."""
        for root in self._roots:
            if path == root or path.startswith(f"{root}/"):
                return path[len(root) :].lstrip("/") or "."
        return f"…/{path.rstrip('/').rpartition('/')[2]}"
