"""Predictions of bags that no fold has seen: what the models of all folds say together."""

from __future__ import annotations

from wsi_features.errors import TrainingError
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.training.contract import refuse_other_features
from wsi_features.mil.training.evaluation import device_of, network_of, outputs_of
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.results import CrossValidation, Device, Prediction, Trained


def predicted(trained: Trained, dataset: BagDataset, *, device: Device = "auto") -> tuple[Prediction, ...]:
    """The mean of the folds' outputs for each bag, in order. All tiles of a bag are used; labels may be absent.

    Raises TrainingError naming a slide whose features are of another encoder, width, tiling, stain (method or target) or recipe, and StoreError.
    """
    refuse_other_bags(trained, dataset)
    bags = HeldBags.unread(dataset)
    place = device_of(device)
    networks = [network_of(model, trained.recipe, place) for model in trained.models]
    outputs = outputs_of(trained.task, networks, bags, range(len(dataset)))
    return tuple(
        Prediction(bag.bag_id, bag.patient_id, -1, bag.label, output)
        for bag, output in zip(dataset.bags, outputs, strict=True)
    )


def refuse_other_bags(result: Trained | CrossValidation, dataset: BagDataset) -> None:
    """Raise TrainingError where a model is not for these features, or patients are fused otherwise."""
    if result.late != dataset.recipe.late:
        raise TrainingError.other_unit(late=result.late)
    refuse_other_features(result.features, dataset)
