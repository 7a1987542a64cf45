# `make demo` runs the main job, `make test` the tests; both set up what they need on a machine with Python and make. Debian's
# packages, which some tests need, come from `make test-deps`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
APT = $(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --option Acquire::Retries=3

.PHONY: demo test test-deps test-slow test-oldest lint bench bench-data demo-weights lock clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/installed: pyproject.toml requirements/lock.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP_INSTALL) --constraint requirements/lock.txt --editable '.[dev]'
	touch $@

$(VENV)-oldest/installed: pyproject.toml requirements/oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python $(PIP_INSTALL) --constraint requirements/oldest.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed  ## synthesise, train, export, run and bench, in the folder demo/
	$(BIN)/emer-edge demo --output demo --force

test: $(VENV)/installed  ## run the tests, a process a core
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-deps: requirements/debian.txt  ## install the Debian packages that the tests use (as root, or with sudo)
	$(APT) update
	$(APT) install --yes --no-install-recommends $$(sed 's/#.*//' $<)

test-slow: $(VENV)/installed  ## run the proofs that take minutes
	$(BIN)/python -m pytest -m slow

test-oldest: $(VENV)-oldest/installed  ## run the tests on the oldest allowed dependencies
	$(VENV)-oldest/bin/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/installed  ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed  ## measure the floors: speed, agreement, memory (half an hour)
	$(BIN)/python -m benchmarks.all

bench-data: $(VENV)/installed  ## synthesise a set of EMER's size, train all folds, and report on them (under two hours)
	$(BIN)/python -m benchmarks.full_size --work bench-data

demo-weights: $(VENV)/installed  ## train the demo weights in the package anew (ten minutes)
	$(BIN)/python -m emer_edge.training.demo_weights

lock:  ## write requirements/*.txt anew (needs uv)
	uv pip compile --quiet --universal --no-annotate --python-version 3.10 --extra dev \
		--constraints requirements/constraints.in --custom-compile-command 'make lock' pyproject.toml -o requirements/lock.txt
	uv pip compile --quiet --no-annotate --python-version 3.11 --extra dev --resolution lowest-direct \
		--constraints requirements/constraints.in --custom-compile-command 'make lock' pyproject.toml -o requirements/oldest.txt

clean:  ## remove the environments and the demo
	rm -rf $(VENV) $(VENV)-oldest demo
