"""Stages: one function for each, the only place where parts meet, and the one boundary that catches."""
