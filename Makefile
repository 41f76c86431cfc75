# Two commands for everybody: `make demo` and `make test`. Both do all set-up on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-all test-arm64 check bench fuzz dist setup servers clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[learn,edge,dev]'
	touch $@

# Real servers for tests; without root the tests that need them skip and say so.
servers:
	@bash tests/install_servers.sh

demo: setup
	$(BIN)/vedette demo

check: setup
	$(BIN)/ruff format --no-cache --check src tests benchmarks
	$(BIN)/ruff check --no-cache src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Two processes, as in production: what makes detectors (torch) and what runs them share none.
test: setup servers check
	$(BIN)/pytest -m 'not slow' --ignore=tests/learn -n 2 --dist loadfile
	OMP_NUM_THREADS=1 $(BIN)/pytest -m 'not slow' tests/learn -n 2 --dist loadfile

test-all: setup servers check
	$(BIN)/pytest --ignore=tests/learn
	$(BIN)/pytest tests/learn

# In a real arm64 root, run by qemu: doctor, detect, run and the box parser. VEDETTE_ARM64 names the folder that keeps it.
test-arm64: dist
	$(BIN)/python tests/arm64/run.py dist

bench: setup
	$(BIN)/python -m benchmarks

# Each reader of files from strangers for FUZZ_SECONDS; what breaks one is left in build/fuzz.
FUZZ_SECONDS ?= 120
fuzz: setup
	$(BIN)/python -m pip install --quiet -e '.[fuzz]'
	mkdir -p build/fuzz
	cd build/fuzz && for reader in cfg weights voc coco; do \
	  $(abspath $(BIN))/python ../../tests/fuzz/run.py $$reader --seconds $(FUZZ_SECONDS) || exit 1; done

dist: setup
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) dist build
