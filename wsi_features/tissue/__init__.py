"""Tissue: masks, how they are segmented, and their outlines as GeoJSON in and out."""

from wsi_features.tissue.external import mask_from_image
from wsi_features.tissue.geojson import mask_from_geojson, to_text
from wsi_features.tissue.io import annotated_mask, mask_from_png, png_bytes
from wsi_features.tissue.mask import TissueMask, mask_mpp
from wsi_features.tissue.recipe import TISSUE_VERSION, TissueRecipe
from wsi_features.tissue.segment import Segmenter, found_tissue, segmenter

__all__ = [
    "TISSUE_VERSION",
    "Segmenter",
    "TissueMask",
    "TissueRecipe",
    "annotated_mask",
    "found_tissue",
    "mask_from_geojson",
    "mask_from_image",
    "mask_from_png",
    "mask_mpp",
    "png_bytes",
    "segmenter",
    "to_text",
]
