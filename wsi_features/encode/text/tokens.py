"""Tokenizers from local files: texts to token numbers. A text that is too long is refused, never cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.encode.text.card import TextCard
from wsi_features.encode.weights import sha256_of
from wsi_features.errors import PromptError

Ids = npt.NDArray[np.int64]


class TextTokens(Protocol):
    """A tokenizer."""

    @property
    def digest(self) -> str:
        """SHA-256 of the file that decides the numbers."""

    def __call__(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """Token numbers (b, context) and the mask of that shape, 1 where a token is one of the text. Raises PromptError."""


def tokenizer_of(card: TextCard, beside: Path, given: Path | None = None) -> TextTokens:
    """The tokenizer that `card` asks for.

    A file is looked for in `given` (or is that), or else beside the weights file. Raises PromptError.
    """
    if card.tokenizer == "clip":
        return ClipTokens(card.context)
    folder = given or beside.parent
    places = [given] if given is not None and given.is_file() else [folder / name for name in card.tokenizer_files]
    for path in places:
        if path.is_file():
            return FileTokens.of(card, path)
    raise PromptError.no_tokenizer(card.name, str(folder), card.tokenizer_files)


class ClipTokens:
    """CLIP's byte pairs; the file ships with open_clip."""

    def __init__(self, context: int) -> None:
        from open_clip.tokenizer import SimpleTokenizer, default_bpe

        self.digest = sha256_of(Path(default_bpe()))
        self._context = context
        self._tokenizer: Any = SimpleTokenizer(context_length=context)

    def __call__(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """Start, text, end, then zeros."""
        first, last = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        return _filled(texts, [[first, *self._tokenizer.encode(text), last] for text in texts], self._context, 0)


@dataclass(frozen=True, slots=True, eq=False)
class FileTokens:
    """A tokenizer of the tokenizers library, from its own JSON file or the word list of BERT."""

    digest: str
    context: int
    pad_id: int
    tokenizer: Any

    @classmethod
    def of(cls, card: TextCard, path: Path) -> FileTokens:
        """Read a file. Raises PromptError."""
        from tokenizers import BertWordPieceTokenizer, Tokenizer

        _check_tokenizer(card.name, path)
        if path.suffix == ".txt":
            words = path.read_text(encoding="utf-8").splitlines()
            tokenizer = BertWordPieceTokenizer({word: number for number, word in enumerate(words)}, lowercase=True)
        else:
            tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(sha256_of(path), card.context, card.pad_id, tokenizer)

    def __call__(self, texts: Sequence[str]) -> tuple[Ids, Ids]:
        """The text with what the file puts around it, then padding."""
        numbers = [encoded.ids for encoded in self.tokenizer.encode_batch(list(texts))]
        return _filled(texts, numbers, self.context, self.pad_id)


def _check_tokenizer(name: str, path: Path) -> None:
    """Refuse what the library would fail on with an error of no kind. Raises PromptError."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            missing = {"[UNK]", "[CLS]", "[SEP]", "[PAD]"} - set(text.split())
            why = f"it has no word {min(missing)}" if missing else ""
        else:
            content = json.loads(text)
            why = "" if isinstance(content, dict) and content.get("model") else "it holds no tokenizer model"
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        raise PromptError.bad_tokenizer(name, str(path), why)


def _filled(texts: Sequence[str], numbers: Sequence[Sequence[int]], context: int, pad_id: int) -> tuple[Ids, Ids]:
    ids, mask = np.full((len(texts), context), pad_id, np.int64), np.zeros((len(texts), context), np.int64)
    for row, (text, found) in enumerate(zip(texts, numbers, strict=True)):
        if len(found) > context:
            raise PromptError.too_long(text, len(found), context)
        ids[row, : len(found)], mask[row, : len(found)] = found, 1
    return ids, mask
