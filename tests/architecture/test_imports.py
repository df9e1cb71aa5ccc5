"""Imports point one way, heavy libraries stay at the leaves, and importing does nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Module

MAY_IMPORT = {
    "errors": set(),
    "geometry": set(),
    "recipe": set(),
    "resources": set(),
    "files": set(),
    "slides": {"errors", "geometry"},
    "tiles": {"errors", "geometry", "recipe", "slides"},
    "tissue": {"errors", "geometry", "recipe", "resources", "tiles"},
    "stain": {"errors", "geometry", "recipe", "resources", "tiles"},
    "encode": {"errors", "geometry", "recipe", "resources", "files", "tiles", "stain"},
    "store": {"errors", "geometry", "recipe", "files", "tiles"},
    "cohort": {"errors", "geometry", "recipe", "files", "slides", "store", "tiles"},
    "mil": {"errors", "recipe", "files", "store", "cohort", "tiles"},
    "report": {"errors", "geometry", "recipe", "resources", "cohort", "store"},
    "config": {"errors", "recipe", "encode", "stain", "tiles", "tissue"},
    "generated": {"cohort", "config", "encode", "files"},
    "stages": {
        *("errors", "geometry", "recipe", "resources", "files", "slides", "tiles", "tissue", "stain", "encode"),
        *("store", "cohort", "mil", "report", "config"),
    },
    "cli": {"errors", "files", "config", "cohort", "stages", "store", "encode"},
}
"""What each part may import of the package, besides itself."""

HEAVY = {
    "torch": {"encode", "tissue", "cohort", "mil"},
    "lightning": {"mil"},
    "torchvision": {"encode", "tissue"},
    "timm": {"encode", "tissue"},
    "huggingface_hub": {"encode"},
    "httpx": {"encode"},
    "transformers": {"encode"},
    "tokenizers": {"encode"},
    "open_clip": {"encode"},
    "onnxruntime": {"encode"},
    "zarr": {"store", "cohort"},
    "google_crc32c": {"store"},
    "fsspec": {"slides"},
    "openslide": {"slides"},
    "tifffile": {"slides", "tissue"},
    "imagecodecs": {"slides"},
    "pyarrow": {"tiles", "cohort"},
    "pandas": set(),
    "numba": {"tiles", "stain"},
    "h5py": {"tiles", "cohort"},
    "cv2": {"slides", "tissue", "tiles", "stain", "encode", "report", "stages"},
    "skimage": {"tissue", "encode"},
    "scipy": {"slides", "tissue", "tiles", "stain", "encode", "report"},
    "shapely": {"tissue"},
    "jinja2": {"report"},
    "matplotlib": {"report"},
    "snakemake": set(),
    "tiatoolbox": {"slides", "tissue"},
    "simplejpeg": {"slides"},
    "pylibCZIrw": {"slides"},
    "pydicom": {"slides"},
    "wsidicom": {"slides"},
    "glymur": {"slides"},
    "dask": {"slides", "cohort"},
    "rich": {"cli"},
    "click": {"cli"},
}
"""Which parts may import a heavy library, and then only inside functions."""

NETWORKS = ("encode/networks/", "tissue/learned/networks/", "mil/training/networks/")
"""Their modules define classes of torch, and are themselves imported inside functions: when their network is made."""


def imported(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


def at_import_time(tree: ast.Module) -> set[ast.stmt]:
    """Statements that run when the module is imported; a TYPE_CHECKING block does not."""
    found: set[ast.stmt] = set()
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.update(child for child in ast.walk(node) if isinstance(child, ast.stmt))
    return found


def test_imports_point_one_way(modules: tuple[Module, ...]) -> None:
    wrong = {}
    for module in modules:
        if module.part not in {"__init__", "__main__"}:
            names = {name.split(".")[1] for _, name in imported(module) if name.startswith("wsi_features.")}
            wrong[module.name] = names - {module.part} - MAY_IMPORT[module.part]
    assert not {name: parts for name, parts in wrong.items() if parts}


def test_heavy_libraries_are_imported_by_their_part_inside_functions(modules: tuple[Module, ...]) -> None:
    assert not [f"{module.name}:{line}: {fault}" for module in modules for line, fault in heavy_faults(module)]


def heavy_faults(module: Module) -> Iterator[tuple[int, str]]:
    early = at_import_time(module.tree)
    defines = module.name.startswith(NETWORKS) and not module.name.endswith("__init__.py")
    for node, name in imported(module):
        library = name.split(".")[0]
        if library in HEAVY:
            if module.part not in HEAVY[library]:
                yield node.lineno, f"{library} does not belong into {module.part}"
            if node in early and not (defines or module.part == "cli"):
                yield node.lineno, f"{library} is imported at the top"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import wsi_features", {*HEAVY, "numpy", "pydantic", "yaml"}),
        ("import wsi_features.cli.main", {*HEAVY} - {"click"}),
        ("import wsi_features.store", {"zarr", "torch", "cv2"}),
        ("import wsi_features.mil", {*HEAVY}),
        ("from wsi_features.encode import build, registry", {"torch", "timm", "cv2"}),
        ("from wsi_features.stages import plan", {*HEAVY} - {"click"}),
    ],
)
def test_importing_loads_no_heavy_library(statement: str, forbidden: set[str]) -> None:
    script = f"{statement}\nimport json, sys\nsys.stdout.write(json.dumps(sorted(sys.modules)))"
    modules = set(json.loads(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout))
    assert not modules & forbidden


def test_of_the_cohort_only_its_exports_and_imports_know_torch_hdf5_and_zarr(modules: tuple[Module, ...]) -> None:
    """Other programs read and write files of these; features themselves are read through `store` alone."""
    for module in modules:
        if module.part == "cohort" and module.path.parent.name not in {"exports", "imports"}:
            assert not {name.split(".")[0] for _, name in imported(module)} & {"torch", "h5py", "zarr"}, module.name


def test_the_public_names_are_these() -> None:
    import wsi_features

    assert wsi_features.__all__ == [
        *("Cohort", "Config", "FeatureStore", "SlideError", "UsageError", "WsiFeaturesError"),
        *("__version__", "embed", "open"),
    ]
    for name in wsi_features.__all__:
        assert getattr(wsi_features, name)
