# Two commands from a fresh machine: `make demo` and `make test`. Everything goes into .venv.
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
SYSTEM_LIBRARIES := libGL.so.1 libglib-2.0.so.0 libgthread-2.0.so.0

# Hundreds of processes start in the tests and the demo; where this is set, each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-ci test-full test-slurm bench install lint types generated clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       install into .venv, make three slides, run the whole workflow on them"
	@echo "make test       install into .venv, run the tests"
	@echo "make test-ci    more tests, of some minutes, on real runs of the workflow"
	@echo "make test-full  also the tests that take long"
	@echo "make test-slurm the workflow on a SLURM that is started for it (as root)"
	@echo "make bench      whole-chain benchmark (BENCH_PX=30000 by default)"
	@echo "make lint types generated"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt .ci/install
	sh .ci/install $(VENV)
	@touch $@

demo: $(STAMP)
	$(PYTHON) -m wsi_features demo --out demo

test: $(STAMP)
	$(PYTHON) -m pytest -n 2 --dist worksteal -m "not full and not ci and not slurm"

test-full: $(STAMP)
	$(PYTHON) -m pytest -n 2 --dist worksteal -m "not slurm"
	$(PYTHON) -m pytest -m slurm

test-ci: $(STAMP)
	$(PYTHON) -m pytest -n 2 --dist worksteal -m "ci and not full"

test-slurm: $(STAMP)
	$(PYTHON) -m pytest -m "slurm and not full"

bench: $(STAMP)
	$(PYTHON) tests/benchmarks/run.py

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(STAMP)
	$(VENV)/bin/mypy

generated: $(STAMP)
	$(PYTHON) -c "from pathlib import Path; from wsi_features.generated import write_generated; write_generated(Path('.'))"

clean:
	rm -rf demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
