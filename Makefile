# make demo   sets everything up and runs the whole pipeline on the embedded data set
# make test   sets everything up and passes the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# `dvc repro` runs `python`: the virtual environment's
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-wheel test-browser test-service test-gpu bench-gpu test-cluster test-faults faults-of-workers faults-of-one lint format docs diagram bench bench-full tables joint reproduce clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[test]'
	@rm -f .dvc/tmp/btime  # DVC forgets what an older layout let it remove (docs/development.md)
	@touch $@

setup: $(STAMP)  ## Make .venv with everything installed

demo: $(STAMP)  ## dvc repro on the embedded data set; ends with the table of variants
	$(BIN)/dvc repro
	@cat reports/demo/table.txt
	@echo
	@echo "Look at:  reports/demo/report.html, and errors.html beside it"
	@echo "Next, in the environment (. $(BIN)/activate):"
	@echo "  python -m pipeline.serve --dataset demo         a page to link your own sentences on"
	@echo "  python -m pipeline.ablate --dataset demo --grid grids/table3.yaml"
	@echo "  python -m pipeline.init NAME                    your own knowledge base (docs/tutorial.md)"

# A process a core, with one thread each: on two cores two thirds of the time of one with two threads.
test: $(STAMP)  ## The tests, under ten minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile

test-slow: $(STAMP)  ## The tests that take long, or that the fault campaign has, too
	$(BIN)/python -m pytest -m slow

test-wheel: $(STAMP)  ## Build the package, install it into a fresh environment, use it in an empty folder
	$(BIN)/python -m pytest -m wheel tests/test_wheel.py

test-browser: $(STAMP)  ## The pages of report, service and documentation in headless Chromium (to be installed)
	$(BIN)/python -m pytest -m browser

test-service: $(STAMP)  ## Ten minutes of requests of every kind to the service
	SERVICE_EXAMPLES=8000 $(BIN)/python -m pytest --timeout 3600 tests/stages/serving/test_description.py

test-cluster: $(STAMP)  ## Extraction by a Ray cluster on this machine, of which a worker and a node are killed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster

# Both take the Python that has torch for the GPU, and whatever packages it has: nothing is installed.
GPU_PYTHON ?= python3
test-gpu:  ## The tests of devices on a CUDA device, by GPU_PYTHON=python3
	PYTHONPATH=. $(GPU_PYTHON) -m pytest -c tests/gpu.ini --rootdir . tests/stages/test_on_a_device.py

bench-gpu:  ## Extraction, an epoch and ranking on a CUDA device at WikiMEL's size, by GPU_PYTHON=python3
	$(GPU_PYTHON) -m benchmarks gpu --full --rounds 3 --output benchmarks-gpu.json

# Two at once, of which the first has workers of its own: so both cores have work to the end.
FAULTS := $(BIN)/python -m pytest -m faults
OF_WORKERS := tests/faults/test_damages.py tests/faults/test_pairs.py
test-faults: $(STAMP)  ## The fault campaign: kills, full disks, damage, pairs
	$(MAKE) --no-print-directory --jobs 2 --keep-going faults-of-workers faults-of-one

faults-of-workers:
	$(FAULTS) $(OF_WORKERS)

faults-of-one:
	$(FAULTS) tests/faults $(OF_WORKERS:%=--ignore=%)

lint: $(STAMP)  ## ruff check, ruff format --check, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Not --quiet: MkDocs would then neither show warnings nor count them.
docs: $(STAMP)  ## The documentation as a site in site/: every link is checked, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

diagram: $(STAMP)  ## Draw the README's diagram again, out of docs/hooks/diagram.py
	$(BIN)/python docs/hooks/diagram.py

bench: $(STAMP)  ## Side-by-side timings, quick size
	$(BIN)/python -m benchmarks --rounds 3

bench-full: $(STAMP)  ## The same at WikiMEL's size: an hour and 45 GB of disk
	$(BIN)/python -m benchmarks --full --rounds 3 --output benchmarks.json

DATASET ?= demo
tables: $(STAMP)  ## The paper's Tables 2 and 3 on DATASET=demo or another prepared one
	@if [ $(DATASET) = demo ]; then $(BIN)/dvc repro graph@demo; else \
	  for step in prepare extract graph; do \
	    $(BIN)/python -m pipeline.$$step --dataset $(DATASET) || exit 1; \
	  done; \
	fi
	$(BIN)/python -m pipeline.ablate --dataset $(DATASET) --grid grids/table2.yaml
	$(BIN)/python -m pipeline.ablate --dataset $(DATASET) --grid grids/table3.yaml

VILT ?= dandelin/vilt-b32-mlm
joint: $(STAMP)  ## The joint vectors that the baseline vilt reads, of DATASET, by VILT or the demo's own
	@if [ $(DATASET) = demo ]; then $(BIN)/dvc repro data/demo/dvc.yaml:joint; else \
	  $(BIN)/python -m pipeline.joint --dataset $(DATASET) --encoder $(VILT) || exit 1; \
	fi

reproduce: tables joint  ## Everything of the paper's evaluation on DATASET=wikimel, with the report
	$(BIN)/python -m pipeline.ablate --dataset $(DATASET) --grid grids/table1.yaml
	$(BIN)/python -m pipeline.ablate --dataset $(DATASET) --grid grids/figure3.yaml
	for variant in melov mimic; do \
	  $(BIN)/python -m pipeline.train --dataset $(DATASET) --variant $$variant && \
	  $(BIN)/python -m pipeline.evaluate --dataset $(DATASET) --variant $$variant || exit 1; \
	done
	$(BIN)/python -m pipeline.report --dataset $(DATASET)

clean:  ## Remove the environment, data and runs (never a raw folder of your own)
	rm -rf $(VENV) site runs metrics reports ablations indexes data/demo/raw data/*/records \
	  data/*/features.zarr data/*/extract data/*/encoders data/*/graph data/*/joint.zarr data/demo/vilt \
	  data/*/.partial* dvc.lock data/demo/dvc.lock
