"""The top level, generated files and text of the repository."""

import subprocess
from pathlib import Path

import pytest

from wsi_features.generated import generated_files

TOP = Path(__file__).parents[2]
ENTRIES = {
    *("Snakefile", "pyproject.toml", "README.md", "workflow", "wsi_features", "profiles", "tests", "resources"),
    *("Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt"),
}


def tracked() -> list[str]:
    found = subprocess.run(["git", "ls-files"], cwd=TOP, check=False, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout")
    return found.stdout.splitlines()


def test_generated_files_are_up_to_date() -> None:
    for path, text in generated_files((TOP / "README.md").read_text()).items():
        assert (TOP / path).read_text() == text, f"{path} is stale: run `make generated`"


def test_the_top_level_holds_what_the_design_names() -> None:
    names = {name.split("/")[0] for name in tracked()}
    assert {name for name in names if not name.startswith(".")} == ENTRIES


def test_the_snakefile_stays_short() -> None:
    assert len((TOP / "Snakefile").read_text().splitlines()) <= 40
    assert len((TOP / "workflow/rules/common.smk").read_text().splitlines()) <= 120


def test_versions_are_pinned_without_a_registry_address() -> None:
    lines = (TOP / "constraints.txt").read_text().splitlines()
    assert all("==" in line and "://" not in line and "@" not in line for line in lines if not line.startswith("#"))


def test_no_large_file_is_tracked() -> None:
    assert not [name for name in tracked() if (TOP / name).stat().st_size > 1_000_000]
