"""Encoders: cards, how they are built from local weights, and the loop that embeds batches of tiles."""
