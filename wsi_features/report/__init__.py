"""The cohort report as one HTML file, from plain values and arrays."""

from wsi_features.report.html import render
from wsi_features.report.model import CohortReport, FeatureMap, ScoreMap, SlideFigure, SlideRow
from wsi_features.report.quality import Histogram, QualityMap

__all__ = ["CohortReport", "FeatureMap", "Histogram", "QualityMap", "ScoreMap", "SlideFigure", "SlideRow", "render"]
