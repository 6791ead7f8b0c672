# Everything a user or developer types. `make help` lists it. The first use sets up .venv by itself.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ROBOT ?= unitree_g1
DATA := $(or $(TELEOPD_SHARED_DATA),../shared/data)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-lerobot check build container bench bench-loop bench-retarget fuzz coverage mutants docs docs-generated pictures wheels clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  \1\t/' | expand -t 18

$(READY): pyproject.toml launch/setup.sh
	@PYTHON=$(PYTHON) bash launch/setup.sh $(VENV)
	@touch $(READY)

setup: $(READY) ## only the set-up that every other command does by itself

demo: $(READY) ## the whole job with nothing attached: an emulated PICO operator over gRPC moves a virtual robot
	$(BIN)/teleop demo --robot $(ROBOT)

test: $(READY) ## all tests, 7 to 10 minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not long and not hardware" tests

test-long: $(READY) ## the same with 10,000 examples a property, and the long scenarios
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not hardware" tests

test-lerobot: $(READY) ## LeRobot 0.4.4 loads, samples, deletes and merges what we export, finds the teleoperator; its own environment, 1.6 GB
	bash tests/lerobot/check.sh $(BIN)/python

check: $(READY) ## ruff, strict types, architecture
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

build: $(READY) ## wheel and sdist; the tests run against each, installed in an environment of its own
	bash tests/run_against_wheel.sh $(BIN)/python

container: ## the Containerfile is built and run with podman; BASE=local makes the base image here, without docker.io
	bash tests/container.sh $(if $(filter local,$(BASE)),--local-base)

wheels: $(READY) ## every dependency resolves to a wheel on Python 3.11, 3.12 and 3.13
	$(BIN)/python tests/check_wheels.py

bench: $(READY) ## latency, jitter and throughput, as distributions and ratios; nothing else should run meanwhile
	$(BIN)/python benchmarks/all.py

bench-loop: $(READY) ## wake lateness and gaps at the robot while both cores are busy, beside a probe in C at higher priority
	$(BIN)/python benchmarks/bench_loop.py

bench-retarget: $(READY) ## retargeting on all clips beside a GMR-style solver: CPU time and every artifact; ROBOT=unitree_h1
	$(BIN)/python benchmarks/retarget.py --robot $(ROBOT)

fuzz: $(READY) ## mutated packets against every parser; PROTOCOL=xsens PACKETS=100000 SEED=1 for less
	$(BIN)/python tests/drivers/fuzz.py --packets $(or $(PACKETS),1000000) --protocol $(or $(PROTOCOL),all) --seed $(or $(SEED),0)

coverage: $(READY) ## branch coverage of safety/ by its own tests, which is to be whole
	$(BIN)/coverage run --branch --include='*/safety/*' -m pytest -q -n0 -m "not long" tests/safety
	$(BIN)/coverage report --include='safety/*' --show-missing --fail-under=100

mutants: $(READY) ## mutation testing of safety/
	$(BIN)/python tests/safety/mutate.py

docs: $(READY) ## the documentation site into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

docs-generated: $(READY) ## what docs/ takes from the code: schema, dashboard, tables, configuration
	$(BIN)/python docs/make_generated.py
	$(BIN)/python docs/make_safety_tables.py

pictures: $(READY) ## the pictures in docs/, made by the project itself
	$(BIN)/python docs/make_pictures.py

clean: ## remove what make made
	rm -rf $(VENV) build dist site *.egg-info demo-output
