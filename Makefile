# The commands of this project; `make` alone lists them.
PYTHON  ?= python3
PROFILE ?= standard
PORT    ?= 8000
TESTS   ?= $(foreach room,certificates evidence decisions,hybrid_rs/$(room) tests/$(room)) tests/smoothing tests/test_roots.py tests/test_house.py
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + os.cpu_count())')

VENV := .venv
BIN  := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile  # imports compile what is used

# Large arrays are taken from the heap again, not asked from the kernel each time (glibc): 1,000 draws of the small guard
# took 0.5 s instead of 0.7.
export MALLOC_MMAP_THRESHOLD_ := 1073741824
export MALLOC_TRIM_THRESHOLD_ := 1073741824
# Threads that wait for one another sleep, instead of spinning on processors that others need: six steps of training beside
# other tests took 1 s of processors instead of 7.
export OMP_WAIT_POLICY := passive
# What is imported is compiled once and kept, also where the shell forbids it: dozens of processes import torch here, and
# each would spend twelve seconds of a core on it again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
LINT := $(MAKE) --no-print-directory lint
LOWEST := .venv-lowest
OPTIONAL := .venv-optional

.PHONY: help env check test lint format coverage lowest optional book pages serve clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(READY) ## create .venv with the locked packages (PYTHON=python3.12 chooses another Python, 3.11 or later)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: PYTHON = $(PYTHON) is missing or older than 3.11: give another, as in make env PYTHON=python3.12" >&2; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV): minutes at first, and it resumes where it was interrupted" >&2
	@sed 's/#.*//' requirements.lock | xargs -P 2 -n 60 $(PIP) --no-deps  # two at a time: unpacking keeps a core busy
	@$(BIN)/python -m pip check >/dev/null || $(PIP) -r requirements.lock  # a torch for GPUs needs more than is locked
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

test: env ## check the code (lint), then run every test, docstring example and notebook
	@# meanwhile one process compiles what the tests import, for all workers
	@$(BIN)/python -m pytest --collect-only --quiet >/dev/null 2>&1 & first=$$!; $(LINT) || { kill $$first; exit 1; }; wait
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder  # one thread each: more would wait for one another

check: lint ## lint, then the fast tests of the mathematics, or of TESTS=tests/guards: about a minute, before every commit
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow and not seconds" $(TESTS)

coverage: env ## run the tests with coverage (without notebooks): slower, and an error below the share in pyproject.toml
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q -n $(WORKERS) --dist loadfile hybrid_rs tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

lowest: ## run the fast tests with the oldest packages that pyproject.toml admits, in .venv-lowest
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .github/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -q -n $(WORKERS) -m "not slow" -W default hybrid_rs tests --deselect tests/test_environment.py

optional: ## run the tests of guards in 8 and 4 bits and over several devices, in .venv-optional
	$(PYTHON) -m venv $(OPTIONAL)
	$(OPTIONAL)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(OPTIONAL)/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable ".[quantised,spread]"
	OMP_NUM_THREADS=1 $(OPTIONAL)/bin/python -m pytest -n 0 tests/guards/quantised_checkpoints.py tests/guards/spread_checkpoints.py

lint: env ## ruff (rules and format) and mypy, changing nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: env ## format the code and apply ruff's safe fixes
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

book: env ## run the experiments and build the book (PROFILE=quick, standard or full)
	$(BIN)/python book/build.py --profile $(PROFILE)
	@echo "The book: book/_build/html/index.html"

pages: env ## open every page of the built book in Chromium, and report what is wrong (about four minutes)
	$(BIN)/python book/check_pages.py

serve: ## serve the built book on this machine (PORT=8000)
	@test -d book/_build/html || { echo "error: no book yet: make book" >&2; exit 1; }
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory book/_build/html $(PORT)

clean: ## remove what make book and the tests left; keep the environment
	rm -rf build dist book/_build book/experiments book/reference .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
