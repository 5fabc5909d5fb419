# Everything a contributor runs. Needs Python 3.11 or later with venv; no compiler, no git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip takes exactly what the lock says, and only wheels: nothing is ever compiled here.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
INSTALL_LOCK := $(INSTALL) --require-hashes --only-binary :all: --requirement
INSTALL_SELF := $(INSTALL) --no-deps --no-build-isolation --editable .
# `make lock UPGRADE=--upgrade` takes the newest of everything.
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --generate-hashes \
	--no-config --custom-compile-command "make lock" $(UPGRADE)

# How much of the large tier `make soak` runs, and from which seed.
SCALE ?= 1
SEED ?= 1

# Stamps: an environment is made anew when its lock or pyproject.toml is newer than it.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo test notebooks docs lint format types layers containers check soak bench lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(RUN) ## rebuild the books of the sample, print them, write book.json
	$(BIN)/batonics reconstruct data/sample.dbn.zst --out book.json

test: $(DEV) ## the whole test-suite (some of it needs BATONICS_TEST_DATA)
	$(BIN)/python -m pytest $(ARGS)

notebooks: $(DEV) ## run every notebook, top to bottom
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=120 notebooks $(ARGS)

docs: $(DEV) ## the documentation against the program
	$(BIN)/python -m pytest tests/docs $(ARGS)

lint: $(DEV) ## format and lint rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(DEV) ## put the format right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

layers: $(DEV) ## which room may import which
	$(BIN)/lint-imports

containers: $(DEV) ## Dockerfile and docker-compose.yml
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

check: lint types layers containers notebooks test ## all of the above

soak: $(DEV) ## the large tier of the tests, for hours; SCALE=0.001 is a few minutes
	$(BIN)/python -m tests.soak --scale $(SCALE) --seed $(SEED)

bench: $(RUN) ## the figures of the README
	PATH="$(CURDIR)/$(BIN):$$PATH" bash benchmark.sh

lock: $(DEV) ## resolve both locks again, with the hashes of every file of each release
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove what these commands have made
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf batonics/__pycache__/kernels build dist book.json

$(RUN): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL_LOCK) requirements.lock
	$(INSTALL_SELF)
	touch $@

# The development environment holds the other one, at the same versions.
$(DEV): requirements-dev.lock requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL_LOCK) requirements-dev.lock
	$(INSTALL_SELF)
	touch $(RUN) $@
