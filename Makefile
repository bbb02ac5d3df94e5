# Each target creates the environment it needs, and updates it only if its requirements changed.
#   .venv         demo, example-..., test, lint, types, docs, wheel: no torch, TensorFlow, JAX or Ray
#   .venv-all     test-all, e2e, bench: every extra
#   .venv-oldest  test-oldest: the oldest supported versions

PYTHON ?= python3
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

EXAMPLE := examples/three-hospitals
INPUTS := pyproject.toml src/flskew/_version.py
LIGHT := not (torch or tensorflow or jax or ray or mnist or long or e2e or site)
# On all cores; an idle process takes over tests from a busy one.
PYTEST := python -m pytest -n auto --dist worksteal
# On the site, a line of code holds 80 characters.
PAGES := $(wildcard *.md docs/*.md docs/*/*.md examples/*/README.md)
PIP := -m pip --disable-pip-version-check -qq install

# Labels in large files need 18 GB of memory; records only writes files.
BENCHMARKS := $(filter-out large_files records,$(basename $(notdir $(wildcard benchmarks/*.py))))
REPRODUCTIONS := $(basename $(notdir $(wildcard benchmarks/reproductions/*.py)))
# `make figures` leaves a file for each step that has ended.
FIGURES := build/figures
STEPS := $(BENCHMARKS:%=bench-%) bench-large_files $(REPRODUCTIONS:%=reproduction-%) stragglers record
timed = echo "== $(1)"; SECONDS=0; $(1); echo "== $(1): $$SECONDS s"

# By default, Flower and Ray send telemetry, and Flower checks for updates.
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help demo example-four-clinics example-five-stores example-students test test-all test-rest test-oldest e2e lint types docs site-test gallery pages wheel wheel-extras bench record reproductions figures figures-needs clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1|/' \
	  | while IFS='|' read -r name text; do printf '  make %-20s %s\n' "$$name" "$$text"; done

demo: .venv/installed-demo  ## train three hospitals, alone and together; print a table, write pictures
	@echo "demo: three hospitals, alone and together"
	@.venv/bin/python $(EXAMPLE)/run.py

example-four-clinics: .venv/installed-examples  ## train four clinics on a real trial, alone and together; print tables, write pictures
	@echo "example-four-clinics: patients of a real trial, alone and together"
	@.venv/bin/python examples/four-clinics/run.py

example-five-stores: .venv/installed-examples  ## train five stores on real purchases, alone and together; print a table, write a picture
	@echo "example-five-stores: real purchases, alone and together"
	@.venv/bin/python examples/five-stores/run.py

example-students: .venv/installed-examples  ## train 2,972 students in one process; print a table, write a picture
	@echo "example-students: thousands of clients in one process"
	@.venv/bin/python examples/students/run.py

test: .venv/installed-dev  ## run the tests that need neither torch, TensorFlow, JAX, Ray, MNIST nor a SuperLink
	@echo "test: all tests except those marked torch, tensorflow, jax, ray, mnist, long, e2e and site"
	@.venv/bin/$(PYTEST) -m "$(LIGHT)"

test-all: .venv-all/installed  ## run all tests with all extras; a skip is a failure (MNIST: FLSKEW_MNIST=folder)
	@echo "test-all: all tests except those of make e2e and make site-test; MNIST: $${FLSKEW_MNIST:-FLSKEW_MNIST is not set, so its tests do not run}"
	@FLSKEW_TEST_ALL=1 .venv-all/bin/$(PYTEST) -m "not e2e and not site$(if $(FLSKEW_MNIST),, and not mnist)"

test-rest: .venv-all/installed  ## run the tests of test-all that test does not run
	@echo "test-rest: the tests marked torch, tensorflow, jax, ray, mnist and long; MNIST: $${FLSKEW_MNIST:-FLSKEW_MNIST is not set, so its tests do not run}"
	@FLSKEW_TEST_ALL=1 .venv-all/bin/$(PYTEST) \
	  -m "not e2e and not site and not ($(LIGHT))$(if $(FLSKEW_MNIST),, and not mnist)"

test-oldest: .venv-oldest/installed  ## run the tests of `make test` on the oldest supported versions
	@echo "test-oldest: the tests of make test on the versions in requirements/oldest.txt"
	@.venv-oldest/bin/$(PYTEST) -m "$(LIGHT)"

e2e: .venv-all/installed  ## run the three hospitals on a SuperLink, SuperNodes and Ray, killing some processes (minutes)
	@echo "e2e: Flower's engines on this machine, with faults"
	@FLSKEW_TEST_ALL=1 .venv-all/bin/python -m pytest -m e2e tests/e2e --durations=10

lint: .venv/installed-dev  ## check style and format with ruff, of the code on the pages too
	@echo "lint: ruff"
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff format --check --line-length 80 $(PAGES)

types: .venv/installed-dev  ## check types with mypy --strict: the package, the examples and typed uses of the API
	@echo "types: mypy --strict"
	@.venv/bin/mypy
	@for script in examples/*/run.py; do MYPYPATH=$$(dirname "$$script") .venv/bin/mypy "$$script"; done

docs: .venv/installed-docs  ## build the site in site/; warnings are errors
	@echo "docs: mkdocs build --strict"
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	@echo "docs: site/index.html"

site-test: .venv/installed-docs .venv/installed-dev  ## open every page in Chromium (apt-get install chromium chromium-driver)
	@echo "site-test: the built site in Chromium, at the sizes of a desktop and a phone"
	@FLSKEW_TEST_ALL=1 .venv/bin/python -m pytest -m site tests/site

gallery: .venv/installed-dev  ## redraw the site's pictures by running the code on its pages, the explorer and the example
	@echo "gallery: running the code on the pages listed in scripts/gallery.py"
	@.venv/bin/python scripts/gallery.py
	@.venv/bin/python scripts/explore_frames.py
	@FLSKEW_MNIST= .venv/bin/python $(EXAMPLE)/run.py --output $(FIGURES)/three-hospitals --overview docs/assets/three-hospitals.png

wheel: .venv/installed-dev  ## build wheel and sdist, check them, and use the wheel in an empty environment
	@echo "wheel: build, contents, twine check, install, README"
	@.venv/bin/python scripts/check_wheel.py

wheel-extras: .venv/installed-dev  ## install the wheel with each extra (or EXTRAS="torch jax") and run its example
	@echo "wheel-extras: an environment for each of $(or $(EXTRAS),all extras)"
	@.venv/bin/python scripts/check_extras.py $(EXTRAS)

bench: .venv-all/installed  ## run all benchmarks but large_files, each against a peer (about 20 minutes on an idle machine)
	@echo "bench: each ratio compares timings from one run"
	@for name in $(BENCHMARKS); do $(call timed,.venv-all/bin/python benchmarks/$$name.py); done

reproductions: .venv-all/installed  ## reproduce published figures (FLSKEW_MNIST=folder; about seven hours, most of them niid_bench; resumes)
	@echo "reproductions: MNIST from $${FLSKEW_MNIST:?set it to the folder with the four MNIST files}"
	@for name in $(REPRODUCTIONS); do $(call timed,.venv-all/bin/python benchmarks/reproductions/$$name.py); done

record: .venv/installed-dev  ## run the benchmark of record (FLSKEW_MNIST=folder; FLSKEW_FASHION_MNIST=folder; about an hour; resumes)
	@echo "record: MNIST from $${FLSKEW_MNIST:?set it to the folder with the four MNIST files}"
	@.venv/bin/python benchmarks/record/run.py

figures: figures-needs $(STEPS:%=$(FIGURES)/%)  ## measure every figure on the pages again and write the pages (needs the data of make record and reproductions, 18 GB of memory and about nine hours on an idle machine; resumes; after make clean, starts again)
	@$(MAKE) --no-print-directory gallery pages
	@echo "figures: what code on a page prints is compared by make test-all"

figures-needs:
	@echo "figures: MNIST from $${FLSKEW_MNIST:?set it to the folder with the four MNIST files}"
	@test -d "$${FLSKEW_FASHION_MNIST:-/usr/share/datasets/fashion-mnist}" || { echo "figures: install dataset-fashion-mnist, or set FLSKEW_FASHION_MNIST"; exit 1; }

$(FIGURES)/bench-%: | .venv-all/installed
	@$(call timed,.venv-all/bin/python benchmarks/$*.py)
	@mkdir -p $(@D) && touch $@

# A script that finds its results resumes, so these begin in a new file.
$(FIGURES)/reproduction-%: | .venv-all/installed
	@$(call timed,.venv-all/bin/python benchmarks/reproductions/$*.py --output $(FIGURES)/$*.json)
	@cp $(FIGURES)/$*.json benchmarks/reproductions/results/ && touch $@

$(FIGURES)/stragglers: | .venv/installed-dev
	@$(call timed,.venv/bin/python examples/fedprox-stragglers/stragglers.py --output $(FIGURES)/fedprox-stragglers)
	@cp $(FIGURES)/fedprox-stragglers/results.json docs/assets/stragglers.json
	@cp $(FIGURES)/fedprox-stragglers/stragglers.png docs/assets/ && touch $@

$(FIGURES)/record: | .venv/installed-dev
	@$(call timed,.venv/bin/python benchmarks/record/run.py --folder $(FIGURES)/cells)
	@touch $@

pages: .venv/installed-dev  ## generate the pages about benchmarks, reproductions and the record, measured tables on other pages, and the table of skew.advise, from the committed JSON files
	@echo "pages: from benchmarks/results, benchmarks/record and benchmarks/reproductions/results"
	@.venv/bin/python scripts/benchmarks_page.py
	@.venv/bin/python scripts/advice_table.py
	@.venv/bin/python scripts/record_page.py
	@.venv/bin/python scripts/reproductions_page.py
	@.venv/bin/python scripts/page_tables.py

clean:  ## remove build outputs and caches, but no environment
	@echo "clean: build outputs and caches"
	@rm -rf build dist site .coverage* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests examples benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# The environments. A stamp file records the last installation, so nothing is installed twice.

%/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; ok = sys.version_info >= (3, 11); \
	  sys.exit(None if ok else f"flskew needs Python 3.11 or newer, but $(PYTHON) is {v}. Choose another: make PYTHON=python3.11 ...")'
	@echo "creating $*"
	@$(PYTHON) -m venv $*

.venv/installed-demo: $(INPUTS) requirements/constraints.txt | .venv/bin/python
	@echo "installing what the demo needs into .venv"
	@.venv/bin/python $(PIP) -c requirements/constraints.txt -e '.[plot,sklearn,study]'
	@touch $@

.venv/installed-examples: $(INPUTS) requirements/constraints.txt requirements/examples.txt | .venv/bin/python
	@echo "installing what the examples need into .venv"
	@.venv/bin/python $(PIP) -c requirements/constraints.txt -r requirements/examples.txt -e '.[plot,sklearn,study]'
	@touch $@

.venv/installed-dev: $(INPUTS) requirements/constraints.txt requirements/examples.txt | .venv/bin/python
	@echo "installing what the tests and checks need into .venv"
	@.venv/bin/python $(PIP) -c requirements/constraints.txt -r requirements/examples.txt -e '.[dev,plot,sklearn,study]'
	@touch $@

.venv/installed-docs: $(INPUTS) requirements/constraints.txt | .venv/bin/python
	@echo "installing what the site needs into .venv"
	@.venv/bin/python $(PIP) -c requirements/constraints.txt -e '.[docs]'
	@touch $@

.venv-all/installed: $(INPUTS) requirements/constraints.txt requirements/examples.txt requirements/frameworks.txt \
  | .venv-all/bin/python
	@echo "installing every extra into .venv-all"
	@.venv-all/bin/python $(PIP) -c requirements/constraints.txt -r requirements/examples.txt \
	  -r requirements/frameworks.txt \
	  -e '.[dev,docs,jax,keras,plot,simulation,sklearn,study,torch]'
	@touch $@

.venv-oldest/installed: $(INPUTS) requirements/examples.txt requirements/oldest.txt | .venv-oldest/bin/python
	@echo "installing the oldest supported versions into .venv-oldest"
	@.venv-oldest/bin/python $(PIP) -c requirements/oldest.txt -r requirements/examples.txt -e '.[dev,plot,sklearn,study]'
	@touch $@
