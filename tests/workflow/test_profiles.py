"""The shipped profiles: each option is one of Snakemake's or its executor's, and retries ask for more."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wsi_features.config import Tuning

TOP = Path(__file__).parents[2]
PROFILES = sorted(path.parent.name for path in (TOP / "profiles").glob("*/config.yaml"))
ON_CLUSTERS = [name for name in PROFILES if not name.startswith("local")]
RULES = {"tissue", "tiles", "stain", "embed", "report"}
OF_PLUGINS = ("slurm-", "lsf-", "kubernetes-")


def profile(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((TOP / "profiles" / name / "config.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def options() -> set[str]:
    """All long options of Snakemake; those of executors only where they are installed."""
    listed = subprocess.run([sys.executable, "-m", "snakemake", "--help"], check=True, capture_output=True, text=True)
    return {word.strip("[],.=") for word in listed.stdout.split() if word.startswith(("--", "[--"))}


def test_every_profile_of_the_documentation_is_there() -> None:
    assert {"local", "local-gpu", "slurm", "slurm-gpu", "lsf", "kubernetes"} <= set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_each_option_is_one_of_snakemakes(name: str, options: set[str]) -> None:
    known = {option for option in profile(name) if not option.startswith(OF_PLUGINS)}
    assert not {f"--{option}" for option in known} - options


@pytest.mark.parametrize("name", PROFILES)
def test_a_run_goes_on_after_a_failure_and_takes_up_what_was_cut_short(name: str) -> None:
    found = profile(name)
    assert (found["scheduler"], found["keep-going"], found["rerun-incomplete"]) == ("greedy", True, True)


@pytest.mark.parametrize("name", ON_CLUSTERS)
def test_each_retry_asks_for_more_memory_and_time(name: str) -> None:
    found = profile(name)
    assert found["retries"] >= 2
    for resources in (found["default-resources"], *found["set-resources"].values()):
        for grown in {"mem_mb", "runtime"} & set(resources):
            first, second = (eval(resources[grown], {"attempt": attempt}) for attempt in (1, 2))  # noqa: S307
            assert second > first >= (1000 if grown == "mem_mb" else 30)


@pytest.mark.parametrize("name", PROFILES)
def test_only_resources_of_rules_that_there_are_and_tuning_that_there_is_are_set(name: str) -> None:
    rules = profile(name).get("set-resources", {})
    assert set(rules) <= RULES
    embed = rules.get("embed", {})
    Tuning.model_validate({key: embed[key] for key in ("device", "batch") if key in embed})


@pytest.mark.workflow
@pytest.mark.full
@pytest.mark.parametrize("name", PROFILES)
def test_a_dry_run_takes_the_profile(name: str, tmp_path: Path) -> None:
    executor = profile(name).get("executor", "local")
    if executor != "local" and importlib.util.find_spec(f"snakemake_executor_plugin_{executor}") is None:
        pytest.skip(f"snakemake-executor-plugin-{executor} is not installed")
    (tmp_path / "a.svs").touch()
    (tmp_path / "cohort.csv").write_text("slide_id,path\na,a.svs\n")
    (tmp_path / "config.yaml").write_text(f"manifest: cohort.csv\nout: {tmp_path}/results\n")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", ".", "-n"]
    command += ["--profile", str(TOP / "profiles" / name), "--configfile", "config.yaml"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule embed:" in done.stdout + done.stderr
