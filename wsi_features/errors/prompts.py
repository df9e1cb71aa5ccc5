"""Errors of prompt files and text towers: nothing is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import UsageError


class PromptError(UsageError):
    """Prompts cannot be compared with features."""

    reason: ClassVar[str] = "prompts"

    @classmethod
    def unreadable(cls, path: str, why: str) -> PromptError:
        """Not a YAML mapping of classes."""
        return cls(f"prompts {path!r} cannot be read ({why}). Give a YAML file with a list of prompts for each class.")

    @classmethod
    def invalid(cls, path: str, where: str, found: object, wanted: str) -> PromptError:
        """One entry."""
        return cls(f"prompts {path!r}: {where} is {found!r}; wanted: {wanted}. Correct the file.")

    @classmethod
    def too_long(cls, text: str, found: int, wanted: int) -> PromptError:
        """Cut off, a prompt would mean something else."""
        return cls(f"the prompt {text!r} has {found} tokens, the text tower takes {wanted}. Make it shorter.")

    @classmethod
    def no_tokenizer(cls, name: str, folder: str, files: Sequence[str]) -> PromptError:
        """Nothing is downloaded."""
        return cls(
            f"the text tower of {name!r} needs its tokenizer, {' or '.join(files)}; {folder!r} has no such file. "
            "Put it beside the weights, or give it with `--tokenizer FILE`."
        )

    @classmethod
    def bad_tokenizer(cls, name: str, path: str, why: str) -> PromptError:
        """Another file of that name, or half of it."""
        return cls(
            f"the text tower of {name!r}: {path!r} is no tokenizer ({why}). Copy it again from where the weights are published."
        )

    @classmethod
    def no_text_tower(cls, name: str, known: Sequence[str]) -> PromptError:
        """An encoder of images only, or one whose text tower nobody has described yet."""
        return cls(
            f"encoder {name!r}: no text tower is known that belongs to it. Known are those of {', '.join(known)}, and of "
            "open_clip:NAME; for another model give a card of its text tower with `--text`."
        )

    @classmethod
    def not_projected(cls, name: str, output: str, others: Sequence[str]) -> PromptError:
        """Features from before the projection lie in another space than texts, even where they are as wide."""
        remedy = f"Embed the slides with {' or '.join(others)}." if others else "This encoder has no projected output."
        return cls(
            f"encoder {name!r} stores `{output}` features; prompts can only be compared with projected ones. {remedy}"
        )

    @classmethod
    def no_features(cls, out: str, encoder: str, present: Sequence[str]) -> PromptError:
        """Another encoder, or nothing embedded yet."""
        held = f"It holds features of {', '.join(present)}." if present else "It holds no features."
        return cls(f"{out!r} has no features of encoder {encoder!r}. {held} Embed the slides with it first.")

    @classmethod
    def other_weights(cls, encoder: str, found: str, wanted: str) -> PromptError:
        """Text and image towers are trained together: those of two files do not belong to each other."""
        return cls(
            f"the features of {encoder!r} were made with weights {wanted[:12]}, the file given is {found[:12]}. "
            "Give the file that the slides were embedded with."
        )

    @classmethod
    def other_width(cls, encoder: str, found: int, wanted: int) -> PromptError:
        """A text tower of another model."""
        return cls(
            f"the text tower gives {found} values, the features of {encoder!r} have {wanted}. Name its own text tower."
        )
