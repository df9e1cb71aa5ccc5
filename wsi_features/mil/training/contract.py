"""Which features a model was trained on, so that those of another encoder, tiling or stain are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from wsi_features.errors import TrainingError
from wsi_features.mil.dataset import BagDataset
from wsi_features.store import FeatureStore, Provenance


class FeatureContract(BaseModel):
    """What a store says of how its features were made. None is what imported features do not say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    encoder: str
    dim: int
    weights_sha256: str | None
    precision: str | None
    tile_px: int | None
    mpp: float | None
    stain: str | None

    @classmethod
    def of_store(cls, provenance: Provenance, dim: int) -> FeatureContract:
        """Of one slide."""

        def told(name: str) -> Any:
            return getattr(provenance, name) if provenance.knows(name) else None

        stain = told("stain")
        return cls(
            encoder=provenance.encoder_name,
            dim=dim,
            weights_sha256=told("weights_sha256"),
            precision=told("precision"),
            tile_px=told("tile_px"),
            mpp=told("mpp_asked"),
            stain=None if stain is None else str(stain.get("method", "none")),
        )

    @classmethod
    def of(cls, dataset: BagDataset) -> FeatureContract:
        """The one of all slides of a data set. Raises TrainingError where two slides differ, StoreError."""
        slides = _contracts(dataset)
        first_id, first = next(slides)
        for slide_id, other in slides:
            for name, wanted, found in first.differences(other):
                raise TrainingError.mixed_features(slide_id, name, found, first_id, wanted)
        return first

    def refuse_others(self, dataset: BagDataset) -> None:
        """Raise TrainingError naming the first slide whose features are not as these, and what differs."""
        for slide_id, other in _contracts(dataset):
            for name, wanted, found in self.differences(other):
                raise TrainingError.other_features(slide_id, name, found, wanted)

    def differences(self, other: FeatureContract) -> Iterator[tuple[str, Any, Any]]:
        """(name, of this one, of the other) for all that differs."""
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                yield name, mine, theirs


def _contracts(dataset: BagDataset) -> Iterator[tuple[str, FeatureContract]]:
    for bag in dataset.bags:
        for slide in bag.slides:
            store = FeatureStore.open(slide.path)
            yield slide.slide_id, FeatureContract.of_store(store.provenance, store.dim)
