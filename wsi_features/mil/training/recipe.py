"""The recipe of a training: all that changes what is learned from the same bags."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wsi_features.recipe import Recipe

Model = Literal["abmil", "mean", "max", "linear"]


class TrainingRecipe(Recipe):
    """What is fitted to bags, and how it is judged. The tiles drawn are said here; a data set's own `max_tiles` is not used."""

    model: Model = Field(
        "abmil", description="Gated attention, mean or max of projected tiles, or a linear probe of their mean"
    )
    hidden: int = Field(256, ge=1, description="Width that tiles are projected to")
    attention: int = Field(128, ge=1, description="Width of the gated attention")
    dropout: float = Field(0.25, ge=0, lt=1, description="Share of projected numbers that training leaves out")
    learning_rate: float = Field(5e-4, gt=0, description="Of AdamW")
    weight_decay: float = Field(1e-3, ge=0, description="Of AdamW")
    epochs: int = Field(80, ge=1, description="Passes over the training bags at most")
    patience: int = Field(12, ge=1, description="Epochs without a better one, after which it stops")
    improvement: float = Field(
        0.005, ge=0, description="How much lower the error of the validation fold must be for an epoch to be better"
    )
    batch: int = Field(4, ge=1, description="Bags in one step of classes or numbers")
    risk_set: int = Field(
        24,
        ge=2,
        description="Bags in one step of survival, whose hazards are compared; more where some would lack an event",
    )
    max_tiles: int | None = Field(1024, ge=1, description="Tiles of a bag in a training step, drawn anew each epoch")
    val_tiles: int | None = Field(2048, ge=1, description="Tiles of a bag that validate an epoch, the same in each")
    standardise: bool = Field(True, description="Features by mean and deviation of the training part")
    balanced: bool = Field(True, description="Classes weigh the same in the loss, however many bags they have")
    strengths: tuple[float, ...] = Field(
        (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3),
        min_length=1,
        description="Of L2 in the linear probe; the validation fold chooses",
    )
    folds: int = Field(5, ge=3, description="Parts: one tests, the next validates, the others train")
    seed: int = Field(0, ge=0, description="Of folds, draws, first weights and resamples")
    resamples: int = Field(1000, ge=0, description="Of patients, for the intervals of metrics")
