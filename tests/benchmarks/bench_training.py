"""Training on bags: 5-fold cross-validation of 100 bags of 5,000 x 1,024 float16, of which a twentieth tells the class.

BENCH_BAGS and BENCH_TILES make it smaller. The limit is what the processor multiplies in one large product of matrices,
measured in the same run; `ratio` is how much longer the same products took, with all that belongs to them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "store"))

from conftest import Samples

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.mil import BagDataset, CrossValidation, Labels, TrainingRecipe, cross_validated, tile_scores
from wsi_features.mil.training.held import HeldBags

BAGS, TILES, DIM = int(os.environ.get("BENCH_BAGS", "100")), int(os.environ.get("BENCH_TILES", "5000")), 1_024
SETS = "tiny__256px__none__00000000"

Row = dict[str, Any]


def rows() -> list[Row]:
    """One row a figure."""
    with tempfile.TemporaryDirectory() as folder:
        data = dataset(Path(folder))
        found = _reading(data)
        products = _products()
        for model in ("abmil", "mean", "max", "linear"):
            found += _training(data, TrainingRecipe(model=model), products)  # type: ignore[arg-type]
        return found


def dataset(folder: Path, strength: float = 1.0, bags: int = BAGS, tiles: int = TILES) -> BagDataset:
    """Tiles of 40 kinds in 1,024 correlated features; bags of the second class have a twentieth of a kind of their own."""
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((41, 48)).astype(np.float32)
    spread = rng.standard_normal((48, DIM)).astype(np.float32) / 7
    rows = []
    for k in range(bags):
        mixture = rng.dirichlet(np.full(40, 0.3))
        kind = rng.choice(40, tiles, p=mixture)
        hidden = kinds[kind] + 0.7 * rng.standard_normal((tiles, 48), dtype=np.float32)
        if k % 2:
            first = int(rng.integers(0, tiles - tiles // 20))
            hidden[first : first + tiles // 20] += strength * (kinds[40] - hidden[first : first + tiles // 20])
        features = hidden @ spread + 0.5 * rng.standard_normal((tiles, DIM), dtype=np.float32)
        content = Samples.content(tiles, DIM, slide_id=f"s{k}", fingerprint=f"{k:064x}")
        Samples.write(folder / "features" / SETS, content, features)
        rows.append(ManifestRow(slide_id=f"s{k}", path=f"/s{k}.svs", patient_id=f"p{k}"))
    Outputs(folder).manifest.write_text(Manifest(tuple(rows)).to_json(4))
    labels = Labels("classification", "slide_id", ("without", "with"), {f"s{k}": k % 2 for k in range(bags)})
    return BagDataset.open(Cohort.open(folder, SETS), labels)


def _reading(data: BagDataset) -> list[Row]:
    start = time.perf_counter()
    HeldBags.of(data, 0)
    seconds = time.perf_counter() - start
    gib = int(data.sizes.sum()) * DIM * 2 / 2**30
    return [{"name": f"read {gib:.2f} GiB, with mean and deviation", "value": gib / seconds, "unit": "GiB/s"}]


def _products() -> float:
    """Floating-point operations a second of a product of (8,192 x 1,024) and (1,024 x 256) matrices, the best of some."""
    import torch

    left, right = torch.rand(8192, DIM), torch.rand(DIM, 256)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * 8192 * DIM * 256 / best


def _training(data: BagDataset, recipe: TrainingRecipe, products: float) -> list[Row]:
    start, worked = time.perf_counter(), time.process_time()
    result = cross_validated(data, recipe)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    start = time.perf_counter()
    scored = sum(len(slide.rows) for slide in tile_scores(result, data))
    scoring = time.perf_counter() - start
    epochs = sum(len(fold.history) for fold in result.folds)
    found: list[Row] = [
        {"name": f"{recipe.model}: {recipe.folds} folds, {epochs} epochs", "value": seconds, "unit": "s"},
        {"name": f"{recipe.model}: processor time of the same", "value": worked, "unit": "s"},
        {"name": f"{recipe.model}: AUC", "value": result.metrics["auc"].value, "unit": "", "limit": 1},
        {"name": f"{recipe.model}: scores of every tile", "value": scored / scoring, "unit": "tiles/s"},
    ]
    if recipe.model != "linear":
        tiles, operations = _work(data, result)
        found[0]["ratio"] = seconds / (operations / products)
        found.append({"name": f"{recipe.model}: tiles in training", "value": tiles / seconds, "unit": "tiles/s"})
    return found


def _work(data: BagDataset, result: CrossValidation) -> tuple[int, float]:
    """Tiles that networks saw, and the operations of their products: forward, and back again where they train."""
    recipe = result.recipe
    first, gates = DIM * recipe.hidden, 2 * recipe.hidden * recipe.attention * (recipe.model == "abmil")
    drawn = np.minimum(data.sizes, recipe.max_tiles or data.sizes)
    checked = np.minimum(data.sizes, recipe.val_tiles or data.sizes)
    tiles, operations = 0, 0.0
    for fold in result.folds:
        train, val = drawn[fold.split.train].sum(), checked[fold.split.val].sum()
        test = data.sizes[fold.split.test].sum()
        epochs = len(fold.history)
        tiles += int(epochs * (train + val) + test)
        operations += 2.0 * (
            epochs * (train * (2 * first + 3 * gates) + val * (first + gates)) + test * (first + gates)
        )
    return tiles, operations
