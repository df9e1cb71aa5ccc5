"""All formats by the names that the command line has for them."""

from __future__ import annotations

from wsi_features.cohort.exports.anndata_file import ANNDATA
from wsi_features.cohort.exports.clam import CLAM
from wsi_features.cohort.exports.eva import EVA
from wsi_features.cohort.exports.huggingface import HF
from wsi_features.cohort.exports.patho_bench import PATHO_BENCH
from wsi_features.cohort.exports.plain import CSV, NPY, PT, SAFETENSORS
from wsi_features.cohort.exports.slideflow import SLIDEFLOW
from wsi_features.cohort.exports.spatialdata_store import SPATIALDATA
from wsi_features.cohort.exports.stamp import STAMP
from wsi_features.cohort.exports.target import Format
from wsi_features.cohort.exports.trident import TRIDENT

FORMATS: dict[str, Format] = {
    "clam": CLAM,
    "trident": TRIDENT,
    "patho-bench": PATHO_BENCH,
    "stamp": STAMP,
    "eva": EVA,
    "slideflow": SLIDEFLOW,
    "spatialdata": SPATIALDATA,
    "anndata": ANNDATA,
    "hf": HF,
    "pt": PT,
    "npy": NPY,
    "safetensors": SAFETENSORS,
    "csv": CSV,
}
