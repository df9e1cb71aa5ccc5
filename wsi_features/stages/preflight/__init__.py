"""Preflight: what is known of a slide before it is used, and whether it may be."""

from wsi_features.stages.preflight.description import describe, described_failure, refuse_failed
from wsi_features.stages.preflight.estimate import estimated
from wsi_features.stages.preflight.inspection import inspected, surveyed

__all__ = ["describe", "described_failure", "estimated", "inspected", "refuse_failed", "surveyed"]
