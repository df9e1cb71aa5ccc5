"""The cohort report as one HTML file, from plain values and arrays."""

from wsi_features.report.html import render
from wsi_features.report.model import CohortReport, FeatureMap, ScoreMap, SlideFigure, SlideRow

__all__ = ["CohortReport", "FeatureMap", "ScoreMap", "SlideFigure", "SlideRow", "render"]
