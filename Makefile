# `make demo` runs the main job, `make test` the tests; both set up what they need on a machine with Python and make. Debian's
# packages, which some tests need, come from `make test-deps`.
PYTHON ?= python3
PYTHON310 ?= python3.10
VENV ?= .venv
DEVICE_TESTS = tests/core tests/signals tests/metrics tests/bundle tests/runtime tests/offline
BIN = $(VENV)/bin
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
# Everything is installed from files that name the hash of each package, and nothing else is; then the project itself. torch is
# apart: its CPU build where there is no NVIDIA GPU (TORCH=gpu or TORCH=cpu decides otherwise), else PyPI's with CUDA.
LOCKED = $(PIP_INSTALL) --require-hashes --no-deps --requirement
TORCH ?= $(if $(wildcard /dev/nvidia0 /dev/nvhost-gpu),gpu,$(if $(filter Linux,$(shell uname)),cpu,gpu))
TORCH_cpu = --index-url https://download.pytorch.org/whl/cpu
ITSELF = $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
APT = $(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --option Acquire::Retries=3

.PHONY: demo docs test test-deps test-slow test-oldest lint audit sbom release-check bench bench-data demo-bundle demo-weights lock clean \
	help test-jetpack6

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/installed: pyproject.toml requirements/lock.txt requirements/torch-$(TORCH).txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(LOCKED) requirements/torch-$(TORCH).txt $(TORCH_$(TORCH))
	$(BIN)/python $(LOCKED) requirements/lock.txt
	$(BIN)/python $(ITSELF)
	touch $@

$(VENV)-oldest/installed: pyproject.toml requirements/oldest.txt requirements/torch-$(TORCH).txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python $(LOCKED) requirements/torch-$(TORCH).txt $(TORCH_$(TORCH))
	$(VENV)-oldest/bin/python $(LOCKED) requirements/oldest.txt
	$(VENV)-oldest/bin/python $(ITSELF)
	touch $@

$(VENV)-audit/installed: requirements/audit.txt
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python $(LOCKED) $<
	touch $@

$(VENV)-release/installed: requirements/release.txt
	$(PYTHON) -m venv $(VENV)-release
	$(VENV)-release/bin/python $(LOCKED) $<
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

audit: $(VENV)-audit/installed  ## look for known vulnerabilities in all that is locked (asks PyPI)
	$(VENV)-audit/bin/pip-audit --strict --disable-pip --require-hashes $(addprefix --requirement requirements/,lock.txt torch-gpu.txt)

sbom: $(VENV)/installed $(VENV)-audit/installed  ## write sbom.json, what is installed and its licences (CycloneDX)
	$(VENV)-audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json $(BIN)/python

release-check: $(VENV)/installed $(VENV)-release/installed  ## build the release into dist/, and try it in fresh environments (asks PyPI)
	$(VENV)-release/bin/python -m release.check

docs: $(VENV)/installed  ## build the documentation as a site in site/, which works offline
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/installed  ## measure the floors: speed, agreement, memory (half an hour)
	$(BIN)/python -m benchmarks.all

bench-data: $(VENV)/installed  ## train and report on all folds of DATA=ROOT, by default of a synthetic set of EMER's size (under two hours)
	$(BIN)/python -m benchmarks.full_size $(if $(DATA),--work bench-own --data $(DATA),--work bench-data)

demo-weights: $(VENV)/installed  ## render heads and train the demo weights anew (under an hour; goes on where it stopped), then demo-bundle
	$(BIN)/python -m benchmarks.demo_weights
	$(BIN)/python -m benchmarks.demo_bundle

demo-bundle: $(VENV)/installed  ## export the demo bundle in the package anew, from the demo weights (three minutes)
	$(BIN)/python -m benchmarks.demo_bundle

COMPILE = uv pip compile --quiet --generate-hashes --no-annotate --custom-compile-command 'make lock'
lock:  ## write requirements/*.txt anew (needs uv, and PyTorch's index for its CPU builds)
	cat requirements/lock.txt requirements/torch-gpu.txt > requirements/all.txt
	$(COMPILE) --universal --python-version 3.10 --extra dev --constraints requirements/constraints.in pyproject.toml -o requirements/all.txt
	python3 requirements/split.py requirements/all.txt requirements/lock.txt requirements/torch-gpu.txt
	cat requirements/oldest.txt requirements/torch-gpu.txt > requirements/all.txt
	$(COMPILE) --universal --python-version 3.10 --extra dev --resolution lowest-direct --constraints requirements/constraints.in pyproject.toml \
		-o requirements/all.txt
	python3 requirements/split.py requirements/all.txt requirements/oldest.txt
	rm requirements/all.txt
	$(COMPILE) --universal --python-version 3.10 requirements/audit.in -o requirements/audit.txt
	$(COMPILE) --universal --python-version 3.10 requirements/release.in -o requirements/release.txt
	sed 's/$$/+cpu/' requirements/constraints.in | \
		$(COMPILE) --no-deps $(TORCH_cpu) - -o requirements/torch-cpu.txt

clean:  ## remove the environments and the demo
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-jetpack6 $(VENV)-audit $(VENV)-release demo site
