"""Bags for trainers: the features of a cohort as torch data sets, with labels, splits and the origin of every row.

    from wsi_features import mil

    cohort = wsi_features.open("results")
    labels = mil.classification(mil.read_table("labels.csv"), "grade")
    bags = mil.BagDataset.open(cohort, labels, mil.BagRecipe(max_tiles=4096))
    split = mil.grouped_split(bags.groups(), strata=bags.strata())
    loaders = mil.PartLoaders.of(bags, split, mil.Loading(batch_size=8, workers=4))
    train = loaders.train_loader()  # each pass over it is the next epoch
    result = mil.cross_validated(bags, mil.TrainingRecipe(model="abmil"))

torch is imported when a data set is made, and lightning by `data_module` only.
"""

from wsi_features.mil.bag import Bag, PatientBags
from wsi_features.mil.collate import collate_of, late, packed, padded
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Labels, class_weights, classification, regression, survival
from wsi_features.mil.loading import EpochOrder, Loading, PartLoaders, bag_loader, data_module, tile_loader
from wsi_features.mil.slides import BagRecipe
from wsi_features.mil.splits import Split, given_split, grouped_split, k_folds
from wsi_features.mil.table import Table, read_table
from wsi_features.mil.tiles import TileBatches, TileDataset
from wsi_features.mil.training.crossval import cross_validated
from wsi_features.mil.training.predicting import predicted
from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import CrossValidation, Trained
from wsi_features.mil.training.saving import load_trained, save_trained
from wsi_features.mil.training.scores import tile_scores

__all__ = [
    "Bag",
    "BagDataset",
    "BagRecipe",
    "CrossValidation",
    "EpochOrder",
    "Labels",
    "Loading",
    "PartLoaders",
    "PatientBags",
    "Split",
    "Table",
    "TileBatches",
    "TileDataset",
    "Trained",
    "TrainingRecipe",
    "bag_loader",
    "class_weights",
    "classification",
    "collate_of",
    "cross_validated",
    "data_module",
    "given_split",
    "grouped_split",
    "k_folds",
    "late",
    "load_trained",
    "packed",
    "padded",
    "predicted",
    "read_table",
    "regression",
    "save_trained",
    "survival",
    "tile_loader",
    "tile_scores",
]
