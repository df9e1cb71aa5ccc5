"""Fixtures for all unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def unflushed() -> Iterator[None]:
    """Flushing shows only when power fails, and is most of the time of tiny stores; `store/test_work.py` looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # noqa: ARG005 - named as in os
        yield
