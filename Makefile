# Two commands for a fresh machine: `make demo` and `make test`. Only Python 3.11-3.13, make and a
# package index are assumed. Everything is installed into .venv.

PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
TYPES := .cache/types

# The versions that the tests are run with. Where one has no wheel: `make test CONSTRAINTS=`.
CONSTRAINTS = --constraint constraints.txt

.PHONY: demo test test-fast constraints check format types test-system test-arm64 test-thorough test-models reliability \
	soak bench wheel wheelhouse audit clean

demo: .venv/base
	$(BIN)/python -m cxr_edge.data.phantom build/phantom.png
	$(BIN)/cxr-edge predict build/phantom.png
	@echo "build/phantom.png is a drawing, no patient: the label means nothing, but the installation works."

# Without bytecode, every process that a test starts compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

# A process for each processor, a module of tests in one of them (tests/conftest.py has the order);
# then, one after another, the tests that compare times. Of these only the modules are imported:
# importing all tests takes as long as twenty of them.
SHORT := not system and not arm64 and not models and not thorough and not soak
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: .venv/test check
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m '$(SHORT) and not alone'
	$(BIN)/python -m pytest -m alone $$(grep -rl --include='*.py' 'mark[.]alone' tests)

# The working loop: no lint, no long tests, nothing that imports Keras.
test-fast: .venv/test
	$(BIN)/python -m pytest $(PARALLEL) -m '$(SHORT) and not alone' --fast

check: .venv/test types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# train/ and export/ are cxr_edge.train and cxr_edge.export once installed; a tree of links shows
# the type checker the same.
types: .venv/test
	rm -rf $(TYPES) && mkdir -p $(TYPES)/cxr_edge
	for e in cxr_edge/* train export; do ln -s ../../../$$e $(TYPES)/cxr_edge/; done
	cd $(TYPES) && ../../$(BIN)/mypy --cache-dir ../mypy --config-file ../../pyproject.toml -p cxr_edge

format: .venv/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Tests that need Debian packages; each says what is missing instead of passing.
test-system: .venv/test .cache/onnxruntime-headers
	$(BIN)/python -m pytest -m system

# For examples/cpp on Debian 12; later releases have the package libonnxruntime-dev.
.cache/onnxruntime-headers:
	@test -d /usr/include/onnxruntime || sh tests/system/fetch_onnxruntime_headers.sh $@ \
		|| echo "make: the headers of onnxruntime cannot be fetched here; the test of examples/cpp will fail" >&2

# Emulated Raspberry Pis; needs qemu-user-static and a package index. CXR_EDGE_ARM64_CACHE keeps the downloads elsewhere.
test-arm64: .venv/test
	$(BIN)/python -m pytest -m arm64

# Long versions of tests in `make test`.
test-thorough: .venv/test
	$(BIN)/python -m pytest -m thorough

# Exports every network of tests/models/zoo, keras.applications included, and writes docs/models.md.
test-models: .venv/test
	$(BIN)/python -m pytest -m models

# The tests of every promise of docs/reliability.md, which it writes; minutes.
reliability: .venv/test
	$(BIN)/python tests/reliability/page.py tests

# Long runs, an hour at most: CXR_EDGE_SOAK_MINUTES=10 for shorter ones. Figures go to docs/soak.json.
soak: .venv/soak
	$(BIN)/python tests/reliability/page.py soak

# About a minute; build/bench.json goes into a report with `cxr-edge benchmark --suite build/bench.json`.
bench: .venv/peers
	mkdir -p build
	$(BIN)/python -m pytest benchmarks -p no:cacheprovider --benchmark-json=build/bench.json \
		--benchmark-columns=min,median,iqr,rounds --benchmark-sort=name

# The same bytes from the same commit.
wheel: .venv/test
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(BIN)/python -m build

# A folder to copy to a Raspberry Pi and to install from there without a network (docs/raspberry-pi.md);
# for a PC: `make wheelhouse ARCHITECTURE=x86_64`.
ARCHITECTURE = aarch64
DEVICE_PYTHON = $(if $(filter x86_64,$(ARCHITECTURE)),3.11 3.12 3.13,3.11 3.13)
DEVICE_FOLDER = build/$(if $(filter x86_64,$(ARCHITECTURE)),pc,raspberry-pi)
wheelhouse: .venv/base
	sh deploy/wheelhouse.sh $(BIN)/python $(DEVICE_FOLDER) $(ARCHITECTURE) $(DEVICE_PYTHON)

# Known vulnerabilities of the versions in constraints.txt; needs a network (docs/dependencies.md).
audit: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --disable-pip --no-deps --requirement constraints.txt

# The newest versions that pyproject.toml allows; run `make test` before committing them.
constraints: .venv/bin/python
	rm -rf .cache/constraints && $(BIN)/python -m venv .cache/constraints
	.cache/constraints/bin/python -m pip install --quiet --disable-pip-version-check '.[test]'
	sed -n '/^#/p' constraints.txt > .cache/constraints.txt
	.cache/constraints/bin/python -m pip freeze --exclude cxr-edge >> .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt && rm -rf .cache/constraints

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11, 3.12 or 3.13" >&2; exit 3; }
	$(PYTHON) -m venv .venv

.venv/base: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m compileall -q cxr_edge train export
	touch $@

.venv/test: .venv/base constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[test]'
	touch $@

.venv/soak: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[soak]'
	touch $@

# ncnn's converter is a program in a package that also asks for PyTorch, which it does not need here.
.venv/peers: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps pnnx \
		|| echo "make: pnnx cannot be installed here; its row is left out" >&2
	touch $@

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
