"""A study whose answer is known: do the features find a lesion that was planted, and do trained models look at it?

    python tests/benchmarks/planted_label.py [FOLDER] [--figure PNG]

Makes 60 slides of 40 patients, half of them with a lesion, embeds them with `histo-texture`, trains every model with the
settings it comes with, cross-validated by patient, and prints one table. FOLDER keeps all of it: a second call goes on there.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.planted_cohort import PlantedSlide, planted_cohort, write_cohort
from wsi_features.cli.main import run_command
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.scores import read_scores
from wsi_features.files import write_bytes

MODELS = ("abmil", "mean", "max", "linear")
SHUFFLES = 8
TILE = 128
_PANEL_HEIGHT = 400
_LINE, _CASING = (20, 20, 20), (255, 255, 255)

Metrics = dict[str, Any]


def command(*words: object) -> None:
    """Run `wsi-features WORDS` and stop where it fails."""
    code = run_command([str(word) for word in words])
    if code:
        raise SystemExit(f"wsi-features {words[0]} ended with {code}")


def embedded(folder: Path, cohort: Sequence[PlantedSlide]) -> None:
    """FOLDER/slides and their features in FOLDER/out; tiles of 64 um that are at least half tissue."""
    write_cohort(folder, cohort)
    tiles = ("--size", TILE, "--mpp", 0.5, "--min-tissue", 0.5)
    command("run", folder / "cohort.csv", "--out", folder / "out", *tiles, "--device", "cpu", "--no-report")


def trained(folder: Path, name: str, *options: object) -> Metrics:
    """Train into FOLDER/NAME and return its metrics.json."""
    labels = ("--labels", folder / "labels.csv", "--label", "label", "--device", "cpu")
    command("train", folder / "out", *labels, *options, "--out", folder / name)
    found: Metrics = json.loads((folder / name / "metrics.json").read_text())
    return found


def shares_inside(folder: Path, name: str, cohort: Sequence[PlantedSlide]) -> dict[str, float]:
    """Of each positive slide: the share of the tenth of its tiles with most attention whose centre lies in the lesion.

    The attention is that of the model that had not seen the patient.
    """
    stores, scores = Cohort.open(folder / "out"), read_scores(folder / name / "attention.parquet")
    found = {}
    for slide in (slide for slide in cohort if slide.spec.lesion):
        of_slide, store = scores.of(slide.slide_id), stores.store(slide.slide_id)
        attention = of_slide.values[:, of_slide.columns.index("attention")]
        most = np.argsort(-attention, kind="stable")[: max(1, round(len(attention) / 10))]
        corners = np.asarray(store.coords)[of_slide.rows[most]]
        found[slide.slide_id] = float(slide.inside(corners, store.provenance.span).mean())
    return found


def shuffled(folder: Path, times: int = SHUFFLES) -> list[float]:
    """AUC of gated attention with labels permuted among patients, each time by another seed."""
    runs = [trained(folder, f"shuffled-{k}", "--shuffle-labels", "--seed", k) for k in range(times)]
    return [float(run["metrics"]["auc"]["value"]) for run in runs]


def figure(folder: Path, name: str, slide: PlantedSlide) -> bytes:
    """PNG: the slide, and the rank of its tiles' attention over it, both with the outline of the lesion."""
    import cv2
    from PIL import Image

    from wsi_features.geometry import Region, Size, SlidePx
    from wsi_features.report.heat import heat_map
    from wsi_features.report.heat_colours import ramp
    from wsi_features.report.heat_picture import blended
    from wsi_features.slides.synthetic import slide_pixels

    size = Size(SlidePx(slide.spec.width), SlidePx(slide.spec.height))
    pixels = slide_pixels(slide.spec, Region(0, 0, size.width, size.height))
    panel = (round(size.width * _PANEL_HEIGHT / size.height), _PANEL_HEIGHT)
    plain = np.asarray(cv2.resize(pixels, panel, interpolation=cv2.INTER_AREA), np.uint8)
    of_slide = read_scores(folder / name / "attention.parquet").of(slide.slide_id)
    store = Cohort.open(folder / "out").store(slide.slide_id)
    ranks = of_slide.values[:, of_slide.columns.index("attention_rank")]
    origins = np.asarray(store.coords, np.int64)[of_slide.rows]
    heat = heat_map(origins, store.provenance.span, ranks, size, 16)
    gap = np.full((_PANEL_HEIGHT, 12, 3), 255, np.uint8)
    panels = [_outlined(image, slide) for image in (plain, blended(plain, heat, ramp("turbo", 0, 1), 0.5))]
    target = io.BytesIO()
    Image.fromarray(np.concatenate([panels[0], gap, panels[1]], axis=1)).quantize(192).save(
        target, "png", optimize=True
    )
    return target.getvalue()


def _outlined(image: npt.NDArray[np.uint8], slide: PlantedSlide) -> npt.NDArray[np.uint8]:
    import cv2

    drawn = image.copy()
    height, width = image.shape[:2]
    x = ((np.arange(width) + 0.5) * slide.spec.width / width).astype(np.int32)
    y = ((np.arange(height) + 0.5) * slide.spec.height / height).astype(np.int32)
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    lesion = slide.inside(places, 0).reshape(height, width).astype(np.uint8)
    edges, _ = cv2.findContours(lesion, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for colour, thickness in ((_CASING, 3), (_LINE, 1)):
        cv2.drawContours(drawn, edges, -1, colour, thickness, cv2.LINE_AA)
    return drawn


def table(folder: Path, cohort: Sequence[PlantedSlide]) -> str:
    """All that the study says, as text."""
    lines = [f"{'model':<8}{'AUC':>7}   {'95 % interval':<15}{'attention inside':>17}"]
    for model in MODELS:
        auc = trained(folder, model, "--model", model)["metrics"]["auc"]
        aim = f"{np.mean(list(shares_inside(folder, model, cohort).values())):>16.0%}" if model == "abmil" else ""
        lines.append(f"{model:<8}{auc['value']:>7.3f}   {auc['low']:.2f} to {auc['high']:.2f}   {aim}".rstrip())
    chance = shuffled(folder)
    lines.append(
        f"shuffled labels, abmil: mean AUC {np.mean(chance):.3f} of {', '.join(f'{a:.2f}' for a in sorted(chance))}"
    )
    inside = np.mean([_share(folder, slide) for slide in cohort if slide.spec.lesion])
    lines.append(f"share of a positive slide's tiles that lie in its lesion: {inside:.0%}")
    return "\n".join(lines)


def _share(folder: Path, slide: PlantedSlide) -> float:
    store = Cohort.open(folder / "out").store(slide.slide_id)
    return float(slide.inside(np.asarray(store.coords), store.provenance.span).mean())


def main() -> None:
    """Make the study and print its table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--figure", type=Path, help="write the figure of the slide in the middle of all here")
    asked = options.parse_args()
    cohort = planted_cohort()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        embedded(folder, cohort)
        text = table(folder, cohort)
        if asked.figure:
            shares = shares_inside(folder, "abmil", cohort)
            middle = sorted(shares, key=lambda name: (shares[name], name))[len(shares) // 2]
            write_bytes(asked.figure, figure(folder, "abmil", next(s for s in cohort if s.slide_id == middle)))
    sys.stdout.write(f"\n{text}\n")


if __name__ == "__main__":
    main()
