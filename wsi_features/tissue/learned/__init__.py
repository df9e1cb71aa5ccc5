"""Learned segmenters: networks that find tissue or artefacts at a resolution of their own.

They do not fit the `Segmenter` protocol, which gets a thumbnail: they ask for windows of the slide through a
function, so nothing here opens a slide. Their weights are local files that somebody else reads and hands over.
"""

from wsi_features.tissue.learned.card import SegmenterCard, segmenter_card, segmenter_names
from wsi_features.tissue.learned.classes import ClassMap, class_map
from wsi_features.tissue.learned.predictor import Classify, predictor
from wsi_features.tissue.learned.windows import Read

__all__ = [
    "ClassMap",
    "Classify",
    "Read",
    "SegmenterCard",
    "class_map",
    "predictor",
    "segmenter_card",
    "segmenter_names",
]
