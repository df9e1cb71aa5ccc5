"""stub"""

from pathlib import Path

from wsi_features.encode.card import EncoderCard


def check_fit(card: EncoderCard, file: Path) -> None:
    """X"""
