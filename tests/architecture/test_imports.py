"""Imports point one way, heavy libraries stay at the leaves, and importing does nothing."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "wsi_features"
MODULES = sorted(PACKAGE.rglob("*.py"))

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

NETWORKS = (
    PACKAGE / "encode" / "networks",
    PACKAGE / "tissue" / "learned" / "networks",
    PACKAGE / "mil" / "training" / "networks",
)
"""Their modules define classes of torch, and are themselves imported inside functions: when their network is made."""


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
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


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    if part in {"__init__", "__main__"}:
        return
    names = {
        name.split(".")[1] for _, name in imported(ast.parse(path.read_text())) if name.startswith("wsi_features.")
    }
    assert names - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_by_their_part_inside_functions(path: Path) -> None:
    tree = ast.parse(path.read_text())
    early = at_import_time(tree)
    for node, name in imported(tree):
        library = name.split(".")[0]
        if library in HEAVY:
            assert part_of(path) in HEAVY[library], f"{library} does not belong into {part_of(path)}"
            may = part_of(path) == "cli" or (any(map(path.is_relative_to, NETWORKS)) and path.name != "__init__.py")
            assert node not in early or may, f"{library} is imported at the top of {path.name}"


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


def test_of_the_cohort_only_its_exports_and_imports_know_torch_hdf5_and_zarr() -> None:
    """Other programs read and write files of these; features themselves are read through `store` alone."""
    for path in (PACKAGE / "cohort").rglob("*.py"):
        names = {name.split(".")[0] for _, name in imported(ast.parse(path.read_text()))}
        assert path.parent.name in {"exports", "imports"} or not names & {"torch", "h5py", "zarr"}, path


def test_the_public_names_are_these() -> None:
    import wsi_features

    assert wsi_features.__all__ == [
        *("Cohort", "Config", "FeatureStore", "SlideError", "UsageError", "WsiFeaturesError"),
        *("__version__", "embed", "open"),
    ]
    for name in wsi_features.__all__:
        assert getattr(wsi_features, name)
