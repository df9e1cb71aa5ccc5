"""Slides: one protocol, the readers behind it, and what is known of a file before a pixel is used."""

from wsi_features.slides.array_reader import ArraySlide
from wsi_features.slides.identity import content_fingerprint
from wsi_features.slides.opening import open_slide
from wsi_features.slides.resolution import resolution
from wsi_features.slides.slide import Level, MppCandidate, Pixels, Resolution, Slide
from wsi_features.slides.thumbnail import thumbnail

__all__ = [
    "ArraySlide",
    "Level",
    "MppCandidate",
    "Pixels",
    "Resolution",
    "Slide",
    "content_fingerprint",
    "open_slide",
    "resolution",
    "thumbnail",
]
