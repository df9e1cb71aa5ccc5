"""All modules of the package, each parsed once for the tests that read them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "wsi_features"


@dataclass(frozen=True)
class Module:
    """One module: `name` is its path in the package, `part` the first of that, `nodes` all of its tree, root first."""

    path: Path
    name: str
    part: str
    text: str
    nodes: tuple[ast.AST, ...]

    @property
    def tree(self) -> ast.Module:
        assert isinstance(self.nodes[0], ast.Module)
        return self.nodes[0]


def read(path: Path) -> Module:
    place, text = path.relative_to(PACKAGE), path.read_text()
    nodes = tuple(ast.walk(ast.parse(text)))
    return Module(path, str(place), place.parts[0].removesuffix(".py"), text, nodes)


@pytest.fixture(scope="package")
def modules() -> tuple[Module, ...]:
    """Of all rules together, most of the time would go into parsing."""
    found = tuple(read(path) for path in sorted(PACKAGE.rglob("*.py")))
    assert len(found) > 300
    return found
