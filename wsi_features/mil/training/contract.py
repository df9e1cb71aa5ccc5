"""The features of a data set, all made alike, and the refusal of others by slide and name."""

from __future__ import annotations

from collections.abc import Iterator

from wsi_features.errors import TrainingError
from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.slides import SlideRows


def contract_of(dataset: BagDataset) -> FeatureContract:
    """The one of all slides of a data set. Raises TrainingError where two slides differ."""
    first = dataset.bags[0].slides[0]
    for slide in _slides(dataset):
        for name, wanted, found in first.contract.differences(slide.contract):
            raise TrainingError.mixed_features(slide.slide_id, name, found, first.slide_id, wanted)
    return first.contract


def refuse_other_features(contract: FeatureContract, dataset: BagDataset) -> None:
    """Raise TrainingError naming the first slide whose features are not as a contract says, and what differs."""
    for slide in _slides(dataset):
        for name, wanted, found in contract.differences(slide.contract):
            raise TrainingError.other_features(slide.slide_id, name, found, wanted)


def _slides(dataset: BagDataset) -> Iterator[SlideRows]:
    return (slide for bag in dataset.bags for slide in bag.slides)
