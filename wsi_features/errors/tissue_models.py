"""Errors of learned tissue models: their cards, their weights, and what they make of a slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError, UsageError


class TissueModelError(UsageError):
    """A tissue model cannot be used as the config and its card say; no slide is segmented."""

    reason: ClassVar[str] = "tissue_model"

    @classmethod
    def unknown(cls, name: str, known: Sequence[str]) -> TissueModelError:
        """Neither a shipped card nor a card file."""
        return cls(
            f"no tissue model {name!r}. Set `tissue.model` to one of {', '.join(known)}, or to the path of a card file "
            "that ends in .yaml."
        )

    @classmethod
    def bad_card(cls, path: str, why: str) -> TissueModelError:
        """No file, not YAML, or not the fields of a card."""
        return cls(
            f"tissue model card {path!r} cannot be used ({why}). Write it like the cards in resources/segmenters."
        )

    @classmethod
    def unknown_classes(cls, name: str, found: Sequence[str], known: Sequence[str]) -> TissueModelError:
        """`tissue.keep_classes` names what the model does not know."""
        return cls(
            f"tissue model {name!r} has no class {', '.join(map(repr, found))}. Set `tissue.keep_classes` to some of "
            f"{', '.join(known)}."
        )

    @classmethod
    def keys_differ(cls, name: str, source: str, missing: Sequence[str], unexpected: Sequence[str]) -> TissueModelError:
        """Strict loading: every tensor of the network is in the file, and nothing else."""
        parts = [
            f"{len(keys)} {label} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for keys, label in ((missing, "missing"), (unexpected, "unexpected"))
            if keys
        ]
        return cls(
            f"tissue model {name!r}: {source!r} does not fit the network: {', '.join(parts)}. Give the weights of exactly "
            "this model, or correct `checkpoint` in its card."
        )

    @classmethod
    def shape_differs(
        cls, name: str, source: str, key: str, found: Sequence[int], wanted: Sequence[int]
    ) -> TissueModelError:
        """Often a model of the same architecture with another number of classes."""
        return cls(
            f"tissue model {name!r}: {source!r} has {key!r} of shape {tuple(found)}, the network {tuple(wanted)}. Give "
            "the weights of exactly this model, or correct `classes` in its card."
        )

    @classmethod
    def weights(cls, name: str, problem: object) -> TissueModelError:
        """`problem` is what reading the file or looking it up found, worded for an encoder."""
        return cls(str(problem).replace(f"encoder {name!r}", f"tissue model {name!r}"))

    @classmethod
    def no_weights(cls, name: str, source: str, folders: Sequence[str]) -> TissueModelError:
        """Weights are never downloaded by a run."""
        where = " or ".join(map(repr, folders)) or "any weights folder"
        return cls(
            f"tissue model {name!r} has no weights in {where}. They are published at: {source}. Get the file and run "
            f"`wsi-features weights add {name} FILE`, or name it as `tissue.weights` in the config."
        )


class TissueModelSlideError(SlideError):
    """A tissue model cannot segment one slide."""

    reason: ClassVar[str] = "tissue"

    @classmethod
    def too_coarse(cls, slide_id: str, name: str, native: float, wanted: float) -> TissueModelSlideError:
        """Enlarged pixels would show the model structures of another size than it has learned."""
        return cls(
            f"slide {slide_id!r} was scanned at {native:g} um/px, coarser than the {wanted:g} um/px that tissue model "
            f"{name!r} sees. Take another `tissue.model` or `tissue.method`, or drop the slide from the cohort."
        )

    @classmethod
    def not_finite(cls, slide_id: str, name: str, x: int, y: int) -> TissueModelSlideError:
        """Position in pixels of the model's resolution."""
        return cls(
            f"slide {slide_id!r}: tissue model {name!r} returned NaN or infinity at x={x}, y={y} of its own pixels. Set "
            "`precision: fp32` in a copy of its card, or compare the SHA-256 of its weights with the published one."
        )
