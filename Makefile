# `make demo` and `make test` are all a newcomer needs; both set up the environment first.
VENV := .venv
BIN := $(VENV)/bin
NOLAVA := .venv-nolava
BENCH := .venv-bench

.PHONY: install demo test test-slow test-isa test-nolava check hw-test bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@if python3.10 -c 'import venv' 2>/dev/null; then python3.10 -m venv $(VENV); \
	elif command -v uv >/dev/null 2>&1; then uv venv --seed --python 3.10 $(VENV); \
	else echo "neurorobust needs Python 3.10 (Lava runs on no newer one), and there is no python3.10 here."; \
	     echo "Install it (Debian/Ubuntu: apt install python3.10-venv; anywhere: pyenv or uv), then make again."; \
	     exit 1; fi
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,events]'
	@touch $@

$(NOLAVA)/.installed: pyproject.toml constraints.txt
	python3.11 -m venv $(NOLAVA)
	$(NOLAVA)/bin/python -m pip install --quiet --upgrade pip
	$(NOLAVA)/bin/python -m pip install --quiet -c constraints.txt torch
	$(NOLAVA)/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(BENCH)/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	python3.10 -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet -r benchmarks/requirements.txt -e .
	@touch $@

demo: install
	$(BIN)/neurorobust demo --overwrite

# Two workers on two cores: a thread each (OpenMP's threads of two processes wait for each other).
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not slow"

test-slow: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadgroup -m slow

# What computes, once more as older processors do it (x86: without AVX, then with AVX2 at most): torch's
# kernels, oneDNN's and those that numba compiles give the same integers, and gradients as near.
ISA_TESTS := tests/backends/test_engine.py tests/backends/test_engine_gradients.py \
  tests/backends/test_engine_loops.py tests/backends/test_engine_arithmetic.py tests/backends/test_engine_plan.py \
  tests/backends/test_engine_trainable.py tests/backends/test_exactness.py tests/backends/test_recurrent_engine.py \
  tests/backends/test_stream.py tests/backends/test_engine_incremental.py \
  $(addprefix tests/attacks/test_,backward_modes.py events.py norms.py objectives.py pgd.py \
  published_defects_spikes.py spike_flips.py annealing.py)
ISA_RUN := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow and not lava" $(ISA_TESTS)

test-isa: install
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 NUMBA_CPU_NAME=generic $(ISA_RUN)
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES= $(ISA_RUN)

# The core must work where Lava cannot be installed (GPU machines run newer Pythons): what computes, attacks,
# evaluates and is called from Python. Files, pages and commands are the same code on the same packages.
NOLAVA_TESTS := $(addprefix tests/,attacks backends budgets datasets encoders evaluation readouts training) \
  $(wildcard tests/test_*.py) tests/cli/test_start.py \
  $(addprefix tests/stories/test_,examples.py front_door.py golden_facts.py without_lava.py)

test-nolava: $(NOLAVA)/.installed
	OMP_NUM_THREADS=1 $(NOLAVA)/bin/python -m pytest -q -n 2 --dist loadgroup -m "not slow and not lava" $(NOLAVA_TESTS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_imports.py

hw-test: install
	$(BIN)/python -m pytest hw_tests

# Peers in an environment of their own; JSON goes to runs/bench. Set NEUROROBUST_DATA for real MNIST.
bench: $(BENCH)/.installed
	@mkdir -p runs/bench
	@for name in engine_vs_lava roofline gradient_vs_peers scaling; do \
	  $(BENCH)/bin/python benchmarks/$$name.py --json runs/bench/$$name.json || exit 1; done

clean:
	rm -rf $(VENV) $(NOLAVA) $(BENCH) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
