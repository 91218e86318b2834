# make demo   sets everything up and runs the whole pipeline on the embedded data set
# make test   sets everything up and passes the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# `dvc repro` runs `python`: the virtual environment's
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	@touch $@

setup: $(STAMP)  ## Make .venv with everything installed

demo: $(STAMP)  ## dvc repro on the embedded data set; ends with the table of variants
	$(BIN)/dvc repro
	@cat reports/demo/table.txt

test: $(STAMP)  ## The tests, under ten minutes on two cores
	$(BIN)/python -m pytest

test-slow: $(STAMP)  ## The tests that take more than a minute each
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)  ## ruff check and ruff format --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## Side-by-side timings, quick size
	$(BIN)/python -m benchmarks

clean:  ## Remove the environment, data and runs (never a raw folder of your own)
	rm -rf $(VENV) runs reports ablations data/demo/raw data/*/records data/*/features.zarr \
	  data/*/extract data/*/graph data/*/.partial dvc.lock data/demo/dvc.lock
