"""A small trainer: pooling networks and a linear probe, cross-validated by patient, to see whether features are useful."""
