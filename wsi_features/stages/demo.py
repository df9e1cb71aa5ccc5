"""The demo cohort: made slides, a manifest and a config, and the workflow run on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.sheets import to_csv
from wsi_features.config import ReportOptions
from wsi_features.files import write_bytes, write_text
from wsi_features.report.figures import decoded, encoded, outline_figure
from wsi_features.resources import share
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.report import cohort_report

DEMO_SLIDES = {
    "biopsy-1": SlideSpec(width=9000, height=7000, seed=11, stain="a", pen=True),
    "biopsy-2": SlideSpec(width=8000, height=9000, seed=12, stain="b", fold=True),
    "glass-only": SlideSpec(width=6000, height=5000, seed=13, tissue=False),
}

_FIGURE_HEIGHT = 280

_CONFIG = """\
# Made by `wsi-features demo`. All settings with their meaning: resources/config.yaml
manifest: cohort.csv
out: results
encoders: [histo-texture]
stain: {method: macenko}
report: {title: Demo cohort}
tuning: {slides_per_shard: 2}
"""


def demo_cohort(folder: Path, tell: Callable[[str], None]) -> Path:
    """Write slides, cohort.csv and config.yaml into `folder` and return the config's path."""
    slides = folder / "slides"
    slides.mkdir(parents=True, exist_ok=True)
    rows = []
    for slide_id, spec in DEMO_SLIDES.items():
        path = slides / f"{slide_id}.svs"
        if not path.exists():
            tell(f"making {path} ({spec.width} x {spec.height} px at {spec.mpp:g} um/px)")
            write_slide(path, spec)
        rows.append(ManifestRow(slide_id=slide_id, path=f"slides/{path.name}", patient_id="demo", stain="H&E"))
    write_text(folder / "cohort.csv", to_csv(rows))
    write_text(folder / "config.yaml", _CONFIG)
    return folder / "config.yaml"


def demo_figure(folder: Path) -> Path:
    """Write FOLDER/demo.png: tissue with tiles, and the features' principal components, of the slides with tissue."""
    import cv2
    import numpy as np

    figures = [f for f in cohort_report(Outputs(folder / "results"), ReportOptions()).figures if len(f.origins)]
    panels = []
    for figure in figures:
        outline = outline_figure(figure.thumbnail, figure.mask, figure.origins, figure.span, figure.size)
        for image in (decoded(outline), decoded(figure.maps[0].image)):
            width = round(image.shape[1] * _FIGURE_HEIGHT / image.shape[0])
            panels.append(cv2.resize(image, (width, _FIGURE_HEIGHT), interpolation=cv2.INTER_AREA))
            panels.append(np.full((_FIGURE_HEIGHT, 12, 3), 255, np.uint8))
    path = folder / "demo.png"
    write_bytes(path, encoded(np.concatenate(panels[:-1], axis=1), "png"))
    return path


def run_workflow(folder: Path, config: Path, cores: int) -> int:
    """Run Snakemake in `folder` and return its exit code."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(share("Snakefile")), "--cores", str(cores)]
    command += ["--profile", str(share("profiles", "local")), "--configfile", config.name, "--directory", "."]
    return subprocess.run(command, cwd=folder, check=False).returncode
