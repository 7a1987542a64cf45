# `make demo` runs the main job, `make test` the tests; both set up what they need on a machine with Python and make. Debian's
# packages, which some tests need, come from `make test-deps`.
PYTHON ?= python3
PYTHON310 ?= python3.10
VENV ?= .venv
DEVICE_TESTS = tests/core tests/signals tests/metrics tests/bundle tests/runtime tests/offline
BIN = $(VENV)/bin
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
APT = $(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --option Acquire::Retries=3

.PHONY: demo test test-deps test-slow test-oldest lint bench bench-data demo-weights lock clean help test-jetpack6

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

$(VENV)-jetpack6/installed: pyproject.toml requirements/jetpack6.txt
	$(PYTHON310) -m venv $(VENV)-jetpack6
	$(VENV)-jetpack6/bin/python $(PIP_INSTALL) --requirement requirements/jetpack6.txt --editable '.[lsl,mcap,metrics,mqtt]'
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

test-oldest: $(VENV)-oldest/installed test-jetpack6  ## run the tests on the oldest allowed dependencies, and on JetPack 6's
	$(VENV)-oldest/bin/python -m pytest --numprocesses auto --dist worksteal

test-jetpack6: $(VENV)/installed $(VENV)-jetpack6/installed  ## run the runtime's tests on what JetPack 6 has (needs Python 3.10)
	rm -rf $(VENV)-jetpack6/random.emer
	$(BIN)/python tests/random_bundle.py $(VENV)-jetpack6/random.emer
	for opencv in 4.5.4.60 4.8.0.76; do \
		$(VENV)-jetpack6/bin/python $(PIP_INSTALL) opencv-python-headless==$$opencv && \
		EMER_EDGE_TEST_BUNDLE=$(VENV)-jetpack6/random.emer $(VENV)-jetpack6/bin/python -m pytest --numprocesses auto \
			$$($(BIN)/python tests/without_torch.py $(DEVICE_TESTS)) || exit; \
	done

lint: $(VENV)/installed  ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed  ## measure the floors: speed, agreement, memory (half an hour)
	$(BIN)/python -m benchmarks.all

bench-data: $(VENV)/installed  ## synthesise a set of EMER's size, train all folds, and report on them (under two hours)
	$(BIN)/python -m benchmarks.full_size --work bench-data

demo-weights: $(VENV)/installed  ## train the demo weights in the package anew (ten minutes)
	$(BIN)/python -m benchmarks.demo_weights

lock:  ## write requirements/*.txt anew (needs uv)
	uv pip compile --quiet --universal --no-annotate --python-version 3.10 --extra dev \
		--constraints requirements/constraints.in --custom-compile-command 'make lock' pyproject.toml -o requirements/lock.txt
	uv pip compile --quiet --no-annotate --python-version 3.11 --extra dev --resolution lowest-direct \
		--constraints requirements/constraints.in --custom-compile-command 'make lock' pyproject.toml -o requirements/oldest.txt

clean:  ## remove the environments and the demo
	rm -rf $(VENV) $(VENV)-oldest demo
