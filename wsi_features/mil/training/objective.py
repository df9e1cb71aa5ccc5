"""The objective of one fold: what a model's numbers are for the task, and which loss they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Task, label_columns
from wsi_features.mil.training.losses import brier_score, cox_loss, squared_error, weighted_cross_entropy

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """What is learned from the training part: class weights and the scale of targets are its alone.

    `center` and `scale` float32 (outputs,) turn numbers of the model into the target's units; 0 and 1 for other tasks.
    """

    task: Task
    outputs: int
    weights: npt.NDArray[np.float32] | None
    center: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    @classmethod
    def of(cls, part: BagDataset, *, balanced: bool) -> Objective:
        """Of the bags that train."""
        assert part.task is not None  # noqa: S101 - checked before folds are made
        outputs = 1 if part.task == "survival" else len(part.names)
        weights = part.class_weights() if part.task == "classification" and balanced else None
        center, scale = np.zeros(outputs, np.float32), np.ones(outputs, np.float32)
        if part.task == "regression":
            values = np.asarray([bag.label for bag in part.bags], np.float64)
            center, scale = values.mean(axis=0).astype(np.float32), values.std(axis=0).astype(np.float32)
        return cls(part.task, outputs, weights, center, scale)

    def labels(self, values: list[Any], device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Labels of bags as tensors, targets standardised."""
        import torch

        columns = label_columns(self.task, values)
        if self.task == "regression":
            columns["target"] = (columns["target"] - self.center) / self.scale
        found = {name: torch.from_numpy(np.ascontiguousarray(column)).to(device) for name, column in columns.items()}
        return {name: value if name == "label" else value.to(dtype) for name, value in found.items()}

    def loss(self, logits: torch.Tensor, labels: dict[str, torch.Tensor]) -> torch.Tensor:
        """Of a batch (b, outputs)."""
        if self.task == "survival":
            return cox_loss(logits[:, 0], labels["time"], labels["event"])
        if self.task == "regression":
            return squared_error(logits, labels["target"])
        return weighted_cross_entropy(logits, labels["label"], self._weights(logits))

    def error(self, logits: torch.Tensor, labels: dict[str, torch.Tensor]) -> torch.Tensor:
        """What an epoch or a strength is chosen by: of classes the Brier score, else the loss."""
        if self.task != "classification":
            return self.loss(logits, labels)
        return brier_score(logits, labels["label"], self._weights(logits))

    def _weights(self, logits: torch.Tensor) -> torch.Tensor | None:
        import torch

        return None if self.weights is None else torch.from_numpy(self.weights).to(logits)


def output_of(task: Task, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Predictions (b, k) of a model's numbers: probabilities of classes; others are as they are."""
    if task != "classification":
        return logits.astype(np.float32)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
