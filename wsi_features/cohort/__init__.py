"""Cohorts: manifests, where outputs lie, how slides ended, and the stores of all slides together."""
