"""`train` and `predict` as a user types them, on tiny stores whose features tell the label."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.mil.training.conftest import planted, write_cohort
from wsi_features.cli.main import run_command
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.scores import read_scores
from wsi_features.mil import TrainingRecipe

PATIENTS = 12
STRENGTHS = [60.0 * (k // 2 % 2) for k in range(2 * PATIENTS)]
SET = ("--feature-set", "tiny")
Run = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run`, a finished run of 24 slides of 12 patients, `sheet.csv` with labels of patients, and `done`, a training."""
    root = tmp_path_factory.mktemp("train")
    write_cohort(root / "run", planted(STRENGTHS), per_patient=2)
    rows = [["patient_id", "grade", "months", "dead", "share", "site"]]
    rows += [
        [f"p{k}", "AB"[k % 2], 30 - 20 * (k % 2) + k, 1, 2.5 * (k % 2) + k / 50, f"c{k // 2}"] for k in range(PATIENTS)
    ]
    rows += [["p11b", "0", 1, 0, 3, "c9"]]
    with (root / "sheet.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "quick.yaml").write_text("{model: linear, folds: 3, strengths: [0.01, 1], resamples: 50, epochs: 3}")
    assert run_command(["train", str(root / "run"), *labelled(root), "--out", str(root / "done")]) == 0
    return root


def labelled(root: Path, *columns: str) -> list[str]:
    quick = ["--config", str(root / "quick.yaml")]
    return [*SET, "--labels", str(root / "sheet.csv"), *quick, *(columns or ("--label", "grade"))]


@pytest.fixture
def train(folder: Path) -> Run:
    def command(*options: object, columns: tuple[str, ...] = ()) -> int:
        return run_command(["train", str(folder / "run"), *labelled(folder, *columns), *map(str, options)])

    return command


@pytest.fixture(scope="module")
def elsewhere(folder: Path) -> Path:
    """A run of another place: other features, patients q0, q1 ..., and `sheet.csv` beside it."""
    root = folder / "elsewhere"
    write_cohort(root / "run", planted(STRENGTHS[:12], seed=5), per_patient=2, fingerprint="5" * 64)
    rename_patients(root / "run")
    (root / "sheet.csv").write_text("patient_id,stage\n" + "".join(f"q{k},{'AB'[k % 2]}\n" for k in range(6)))
    return root


def rename_patients(run: Path) -> None:
    """p0 becomes q0."""
    manifest = run / "manifest.json"
    manifest.write_text(re.sub(r'"p(\d+)"', r'"q\1"', manifest.read_text()))


def numbers(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_leaves_numbers_tables_scores_models_and_a_page(folder: Path) -> None:
    done, found = folder / "done", numbers(folder / "done")
    assert found["files"] == ["training.html", "predictions.csv", "folds.csv", "attention.parquet", "models"]
    assert (found["task"], found["names"], found["counts"]["classes"]["A"]) == (
        "classification",
        ["A", "B"],
        {"bags": 12, "patients": 6},
    )
    assert found["metrics"]["auc"]["value"] > 0.9
    assert (found["metrics"]["auc"]["chance"], found["metrics"]["auc"]["patients"]) == (0.5, PATIENTS)
    assert found["left_out"] == {"p11b": "labelled, but without features", "class '0'": "no bag"}
    assert found["features"]["encoder"] == "tiny"
    assert "The features tell grade" in (done / "training.html").read_text()
    assert not [name for name in ("date", "host", "user", str(folder)) if name in (done / "metrics.json").read_text()]


def test_every_slide_is_predicted_once_by_the_fold_that_tests_it(folder: Path) -> None:
    said, parts = rows(folder / "done/predictions.csv"), rows(folder / "done/folds.csv")
    assert [row["slide_id"] for row in said] == [row["slide_id"] for row in parts] == [f"s{k}" for k in range(24)]
    for row, part in zip(said, parts, strict=True):
        assert part[f"fold_{row['fold']}"] == "test"
        assert [part[f"fold_{k}"] for k in range(3)].count("test") == 1
        assert row["label"] == "AB"[int(row["patient_id"][1:]) % 2]
        assert float(row["p:A"]) + float(row["p:B"]) == pytest.approx(1)
        assert row["predicted"] == ("A" if float(row["p:A"]) > 0.5 else "B")


def test_attention_is_a_score_table_of_all_valid_tiles(folder: Path) -> None:
    table, cohort = read_scores(folder / "done/attention.parquet"), Cohort.open(folder / "run", "tiny")
    assert table.columns[0] == "attention"
    for store in cohort:
        values = table.of(store.provenance.slide_id).joined(store)[:, 0]
        assert (np.isfinite(values) == store.valid).all()
        assert np.nansum(values) == pytest.approx(1, abs=1e-5)


def test_the_same_training_is_kept_and_another_one_refused(
    folder: Path, train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "done", tmp_path / "t")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "t").iterdir()}
    assert train("--out", tmp_path / "t") == 0
    said = capsys.readouterr().out
    assert "The same training is in" in said
    assert (
        f"--scores {tmp_path}/t/attention.parquet --column score:B --to png" in said
    )  # a probe looks at all tiles alike
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "t").iterdir()} == before
    assert train("--model", "max", "--out", tmp_path / "t") == 2
    assert "holds a training of other features, labels or settings" in capsys.readouterr().err
    assert train("--seed", 1, "--overwrite", "--out", tmp_path / "t") == 0
    assert numbers(tmp_path / "t")["recipe"]["seed"] == 1


def test_what_is_not_whole_is_trained_again_to_the_same_bytes(folder: Path, train: Run, tmp_path: Path) -> None:
    shutil.copytree(folder / "done", tmp_path / "t")
    (tmp_path / "t/metrics.json").write_text('{"kind": "training", "unfinished": true}')
    (tmp_path / "t/predictions.csv").write_text("half")
    (tmp_path / "t/models/fold7.safetensors").write_text("of more folds")
    (tmp_path / "t/models/mine.txt").write_text("not ours")
    assert train("--out", tmp_path / "t") == 0
    for name in ("metrics.json", "predictions.csv", "folds.csv", "attention.parquet", "models/trained.json"):
        assert (tmp_path / "t" / name).read_bytes() == (folder / "done" / name).read_bytes(), name
    assert not (tmp_path / "t/models/fold7.safetensors").exists()
    assert (tmp_path / "t/models/mine.txt").exists()
    (tmp_path / "t/attention.parquet").unlink()
    assert train("--out", tmp_path / "t") == 0
    assert (tmp_path / "t/attention.parquet").exists()


def test_files_of_somebody_else_are_not_replaced(
    train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "predictions.csv").write_text("mine")
    assert train("--out", tmp_path) == 2
    assert "holds predictions.csv of other features" in capsys.readouterr().err
    assert (tmp_path / "predictions.csv").read_text() == "mine"


def test_folds_are_taken_from_the_file_of_another_training(folder: Path, train: Run, tmp_path: Path) -> None:
    file = folder / "done/folds.csv"
    assert train("--seed", 9, "--folds-file", file, "--out", tmp_path / "t") == 0
    assert (tmp_path / "t/folds.csv").read_bytes() == file.read_bytes()
    assert numbers(tmp_path / "t")["split"]["file"] == "folds.csv"


def test_one_given_split_tests_only_its_test_part(train: Run, tmp_path: Path) -> None:
    parts = ["train"] * 6 + ["val"] * 2 + ["test"] * 3
    (tmp_path / "f.csv").write_text("patient_id,fold\n" + "".join(f"p{k},{part}\n" for k, part in enumerate(parts)))
    assert train("--folds-file", tmp_path / "f.csv", "--out", tmp_path / "t") == 0
    assert {row["patient_id"] for row in rows(tmp_path / "t/predictions.csv")} == {"p8", "p9", "p10"}
    assert numbers(tmp_path / "t")["left_out"]["s23"] == "not in f.csv"
    assert numbers(tmp_path / "t")["counts"]["patients"] == 11
    assert set(read_scores(tmp_path / "t/attention.parquet").slide_ids) == {f"s{k}" for k in range(16, 22)}


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({4: "train", 6: "train", 8: "val", 10: "test"}, "bags that '.*f.csv' puts into folds are of one class"),
        ({4: "train", 6: "val", 8: "test", 11: "test"}, "class 'B' has 1 patient .* that '.*f.csv' puts into folds"),
        ({4: "train", 6: "train", 8: "val", 9: "val", 11: "test"}, "fold 0 of '.*f.csv': its train part has no bag of"),
    ],
)
def test_what_a_folds_file_leaves_without_a_class_is_mended_in_that_file(
    train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: dict[int, str], why: str
) -> None:
    (tmp_path / "f.csv").write_text("patient_id,fold\n" + "".join(f"p{k},{part}\n" for k, part in parts.items()))
    assert train("--folds-file", tmp_path / "f.csv", "--out", tmp_path / "t") == 2
    said = capsys.readouterr().err
    assert re.search(why, said)
    assert "the folds file" in said
    assert "fewer folds" not in said


def test_a_split_with_a_patient_on_both_sides_is_refused_with_its_id(
    train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = "".join(f"s{k},{'test' if k in (3, 8, 9) else 'train'}\n" for k in range(24))
    (tmp_path / "f.csv").write_text(f"slide_id,fold\n{cells}")
    assert train("--folds-file", tmp_path / "f.csv", "--out", tmp_path / "t") == 2
    assert "patient 'p1' is in train and test ('s2', 's3')" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--label", "grade", "--target", "share"), "only one of --label, --time with --event, and --target"),
        (("--time", "months"), "needs both --time and --event"),
        (("--unit", "slide"), "Say what is to be learned"),
    ],
)
def test_labels_of_no_or_two_tasks_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    asked = ["train", str(folder / "run"), "--labels", str(folder / "sheet.csv"), *options, "--out", str(tmp_path)]
    assert run_command(asked) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--label", "stage"), "no column 'stage'; the columns are patient_id, grade"),
        (("--label", "grade", "--folds", "9"), "class 'A' has 6 patients (groups), fewer than the 9 folds"),
        (("--label", "grade", "--feature-set", "uni"), "Choose one by its name"),
        (("--label", "grade", "--group", "ward"), "no column 'ward'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert train("--out", tmp_path / "t", columns=options) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_results_never_go_into_a_run_or_a_store(
    folder: Path, train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--out", folder / "run" / "t") == 2
    assert "is in" in capsys.readouterr().err
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr/zarr.json").write_text("{}")
    assert train("--out", tmp_path / "s.zarr" / "t") == 2
    assert "s.zarr', whose files it would mix with" in capsys.readouterr().err


def test_settings_of_a_file_are_checked_by_name(train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text("model: linear\nresample: 20\n")
    assert train("--config", tmp_path / "r.yaml", "--out", tmp_path / "t") == 2
    assert "`resample` is 20; extra inputs are not permitted" in capsys.readouterr().err
    (tmp_path / "r.yaml").write_text("{model: linear, folds: 3, strengths: [1], resamples: 20, seed: 3}")
    assert train("--config", tmp_path / "r.yaml", "--seed", 4, "--out", tmp_path / "t") == 0
    assert [numbers(tmp_path / "t")["recipe"][name] for name in ("model", "resamples", "seed")] == ["linear", 20, 4]


def test_shuffled_labels_say_so_everywhere(train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--shuffle-labels", "--out", tmp_path / "t") == 0
    assert capsys.readouterr().out.count("CONTROL") == 2
    assert numbers(tmp_path / "t")["shuffled_labels"] is True
    assert "Nothing on this page is a result" in (tmp_path / "t/training.html").read_text()
    assert read_scores(tmp_path / "t/attention.parquet").about["shuffled_labels"] is True
    truth = {row["patient_id"]: "AB"[int(row["patient_id"][1:]) % 2] for row in rows(tmp_path / "t/predictions.csv")}
    assert {row["patient_id"]: row["label"] for row in rows(tmp_path / "t/predictions.csv")} != truth


@pytest.mark.ci
@pytest.mark.parametrize(
    ("columns", "metric", "header", "heading"),
    [
        (("--time", "months", "--event", "dead"), "c_index", ["time", "event", "risk"], "Survival by predicted risk"),
        (("--target", "share"), "r2", ["true:share", "predicted:share"], "Predicted and true share"),
    ],
)
def test_patients_are_predicted_for_the_other_tasks(
    train: Run, tmp_path: Path, columns: tuple[str, ...], metric: str, header: list[str], heading: str
) -> None:
    options = ("--unit", "patient", "--model", "mean", "--group", "site")
    assert train(*options, "--out", tmp_path / "t", columns=columns) == 0
    found = numbers(tmp_path / "t")
    assert next(iter(found["metrics"])) == metric
    assert found["counts"]["bags"] == PATIENTS
    assert list(rows(tmp_path / "t/predictions.csv")[0]) == ["patient_id", "fold", *header]
    assert heading in (tmp_path / "t/training.html").read_text()
    site = {row["patient_id"]: row["fold"] for row in rows(tmp_path / "t/predictions.csv")}
    assert all(site[f"p{k}"] == site[f"p{k + 1}"] for k in range(0, PATIENTS, 2))


def predicted(folder: Path, run: Path, *options: object) -> int:
    return run_command(["predict", str(folder / "done"), str(run), *SET, *map(str, options)])


def test_models_predict_another_run_and_are_judged_with_its_labels(
    folder: Path, elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--labels", elsewhere / "sheet.csv", "--label", "stage", "--out", tmp_path / "p")
    assert predicted(folder, elsewhere / "run", *asked) == 0
    assert "AUC 1.00" in capsys.readouterr().out
    found = numbers(tmp_path / "p")
    assert (found["kind"], found["training"]) == ("prediction", numbers(folder / "done")["fingerprint"])
    assert found["files"] == ["prediction.html", "predictions.csv", "attention.parquet"]
    assert [row["fold"] for row in rows(tmp_path / "p/predictions.csv")] == [""] * 12
    assert "prediction report" in (tmp_path / "p/prediction.html").read_text()
    assert predicted(folder, elsewhere / "run", *asked) == 0
    assert "The same prediction is in" in capsys.readouterr().out


def test_without_labels_nothing_is_judged(folder: Path, elsewhere: Path, tmp_path: Path) -> None:
    assert predicted(folder, elsewhere / "run", "--out", tmp_path / "p") == 0
    assert numbers(tmp_path / "p")["metrics"] == {}
    assert not (tmp_path / "p/prediction.html").exists()
    assert {row["label"] for row in rows(tmp_path / "p/predictions.csv")} == {""}


def test_patients_and_slides_of_the_training_are_not_judged(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sheet.csv").write_text("patient_id,grade\np4,A\np0,A\n")
    assert predicted(folder, folder / "run", "--labels", tmp_path / "sheet.csv", "--out", tmp_path / "p") == 2
    assert "patient 'p0' was in the training" in capsys.readouterr().err
    copied = shutil.copytree(folder / "run", tmp_path / "renamed")
    rename_patients(copied)
    (tmp_path / "sheet.csv").write_text("patient_id,grade\n" + "".join(f"q{k},{'AB'[k % 2]}\n" for k in range(12)))
    assert predicted(folder, copied, "--labels", tmp_path / "sheet.csv", "--out", tmp_path / "p") == 2
    assert "slide 's0' has the same features as 's0' of the training" in capsys.readouterr().err


def test_features_of_another_encoder_are_refused_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cohort(tmp_path / "run", planted([0.0, 1.0]), encoder={"name": "other", "dim": 7})
    assert predicted(folder, tmp_path / "run", "--out", tmp_path / "p") == 2
    assert "slide 's0' has features of encoder 'other', and the model was trained on 'tiny'" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_prediction_never_replaces_its_models(
    folder: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predicted(folder, elsewhere / "run", "--overwrite", "--out", folder / "done") == 2
    assert "whose files it would mix with or replace" in capsys.readouterr().err


def test_a_folder_that_is_no_training_is_refused(
    elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run_command(["predict", str(tmp_path / "empty"), str(elsewhere / "run"), "--out", str(tmp_path / "p")]) == 2
    assert "is no finished training (no readable metrics.json)" in capsys.readouterr().err


def test_the_help_says_the_defaults_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    recipe = TrainingRecipe()
    for option, value in (
        ("--folds N", recipe.folds),
        ("--max-tiles N", recipe.max_tiles),
        ("--epochs N", recipe.epochs),
    ):
        stated = re.search(rf"{option} .*?Default: (\d+)\.", said)
        assert stated
        assert stated[1] == str(value), option
    assert f"Default: {recipe.model}, gated attention" in said
