# Targets for contributors. They need Python 3.11 or later with venv, but no compiler and no git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip installs exactly the locked versions, and only wheels: nothing is compiled.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
INSTALL_LOCK := $(INSTALL) --require-hashes --only-binary :all: --requirement
INSTALL_SELF := $(INSTALL) --no-deps --no-build-isolation --editable .
# `make lock UPGRADE=--upgrade` selects the newest versions.
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes \
	--no-config --custom-compile-command "make lock" $(UPGRADE)

# All cores. The tests of a file share what they set up, so a worker runs whole files.
ALL_CORES := --numprocesses auto --dist loadfile --no-loadscope-reorder
NBMAKE := --nbmake --nbmake-timeout=120

# The share of the large tier that `make soak` and `make attack` run, and its seed.
SCALE ?= 1
SEED ?= 1

# Stamps: an environment is rebuilt when its lock or pyproject.toml is newer.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
NODE := node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test notebooks docs lint format types layers containers page check soak attack bench lock clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(RUN) ## rebuild the books of the sample, print them, write book.json
	$(BIN)/batonics reconstruct data/sample.dbn.zst --out book.json

test: $(DEV) ## run all tests on all cores (some need BATONICS_TEST_DATA)
	$(BIN)/python -m pytest $(ALL_CORES) $(ARGS)

notebooks: $(DEV) ## run every notebook
	$(BIN)/python -m pytest $(ALL_CORES) $(NBMAKE) notebooks $(ARGS)

docs: $(DEV) ## check the documentation against the program
	$(BIN)/python -m pytest tests/docs $(ARGS)

lint: $(DEV) ## check format and lint rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(DEV) ## fix the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(DEV) ## run mypy in strict mode
	$(BIN)/mypy

layers: $(DEV) ## check which package may import which
	$(BIN)/lint-imports

containers: $(DEV) ## check Dockerfile and docker-compose.yml
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

page: $(NODE) ## check types and lint rules of the page's JavaScript, and run its unit tests
	PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent check

check: lint types layers containers page ## run all checks above, then tests and notebooks in one run
	$(BIN)/python -m pytest $(ALL_CORES) $(NBMAKE) tests notebooks $(ARGS)

soak: $(DEV) ## run the large tier of the tests, for hours; SCALE=0.001 takes minutes
	$(BIN)/python -m tests.soak --scale $(SCALE) --seed $(SEED)

attack: $(DEV) ## repeat the attack suites, for minutes; SCALE and SEED as for soak
	$(BIN)/python -m tests.attack --scale $(SCALE) --seed $(SEED)

bench: $(RUN) ## run the benchmarks
	PATH="$(CURDIR)/$(BIN):$$PATH" bash benchmark.sh

lock: $(DEV) ## resolve both locks, with the hashes of all files of each release
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove what these targets created
	rm -rf $(VENV) node_modules .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf batonics/__pycache__/kernels build dist book.json

$(RUN): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL_LOCK) requirements.lock
	$(INSTALL_SELF)
	touch $@

# The development environment includes the other one, at the same versions.
$(DEV): requirements-dev.lock requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL_LOCK) requirements-dev.lock
	$(INSTALL_SELF)
	touch $(RUN) $@

# npm comes with the development environment. No script of a package runs.
$(NODE): package-lock.json package.json $(DEV)
	PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent --ignore-scripts
	touch $@
