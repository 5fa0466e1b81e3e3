# make run   sets up .venv and runs the demo from atoms to report
# make test  sets up .venv and runs every test
# make help  lists the rest
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
CONFIG ?= config/demo.yaml
CORES ?= $(shell nproc 2>/dev/null || echo 2)
PROFILE ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYNX := $(VENV)/.pynx
comma := ,
WEIGHED := $(addprefix results/paper/,$(addprefix evaluate/,measured.csv simulated.csv calibration.csv cases.csv) reconstruct/true_phase.csv reconstruct/particles.csv)

.PHONY: help setup run test test-all test-slurm lint format docs figures-docs pins schema weights bench bundle clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(READY) $(PYNX) ## build .venv from the pinned requirements, and add PyNX where it can be had

$(READY): envs/requirements.txt pyproject.toml envs/venv.sh
	$(if $(word 2,$(CURDIR)),$(error $(CURDIR): the path has a space in it, and Snakemake cannot start a Python from there; move the project to a folder without one))
	@bash envs/venv.sh "$(PYTHON)" $(VENV)

$(PYNX): envs/pynx.sh $(READY)
	@bash envs/pynx.sh $(VENV)

run: setup ## run the demo (or CONFIG=…) and print its results
	@CORES=$(CORES) PROFILE=$(PROFILE) bash envs/run.sh $(CONFIG)

test: setup ## run the tests, the tiny DAG included, without those that take longest
	@$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder --durations 15 -m 'not slurm and not long'

test-all: setup ## run every test
	@$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder --durations 15

test-slurm: setup ## start a Slurm of one node (root, Debian's packages) and run the tiny DAG through it
	@$(BIN)/python -m pytest -m slurm -rs tests/test_slurm.py

lint: setup ## what the pre-commit hooks check, and the types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/snakefmt --check Snakefile workflow/rules && $(BIN)/codespell
	@$(BIN)/mypy
	@$(BIN)/snakemake --lint --configfile config/demo.yaml

format: setup ## format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/snakefmt Snakefile workflow/rules

docs: setup ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict && echo 'look at it: $(BIN)/python -m http.server --directory site'

figures-docs: setup ## draw the pictures of README.md from the demo's results (make run)
	@$(BIN)/python docs/images.py results/demo

schema: setup ## write config/default.yaml, its JSON schema and the configuration page from the settings
	@$(BIN)/python -m braggfill.settings.document config

bundle: setup ## pack a run into one file to share: RUN=demo, WITH_DATA=1 for its arrays, too
	@$(BIN)/braggfill bundle $(if $(RUN),$(RUN),$(error name the run: make bundle RUN=demo)) $(if $(WITH_DATA),--with-data) --force

weights: setup ## train on config/paper.yaml (EPOCHS=…; FURTHER=1: the shipped network further) and put the network into the package: hours, or a GPU
	@$(BIN)/snakemake --cores $(CORES) --configfile config/paper.yaml $(if $(FURTHER),config/further.yaml --forcerun train) \
	  $(if $(PROFILE),--profile $(PROFILE)) $(if $(EPOCHS),--config 'train={"epochs": $(EPOCHS)}') -- $(WEIGHED)
	@$(BIN)/python -m braggfill.weights.shipping results/paper

bench: setup ## measure speed and memory, as ratios in one run
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

pins: ## resolve the pinned requirements anew
	@bash envs/pins.sh "$(PYTHON)"

clean: ## remove what the runs made, not the environment
	rm -rf results site .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis
