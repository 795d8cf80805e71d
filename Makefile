# ttsc: `make run` shows it working, `make test` checks everything. Both install what they need into .venv first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
CORE := $(VENV)/.installed-core
ENGINE := $(VENV)/.installed-engine

.DEFAULT_GOAL := help
.PHONY: help install run test lint format types imports unit golden bench bench-peers testbed wheel lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(CORE) $(ENGINE) ## install ttsc, its checks and the engine into .venv

run: $(CORE) $(ENGINE) ## run self-consistency and first finish search on a real engine
	@sh scripts/run_examples.sh $(BIN)

test: $(CORE) $(ENGINE) lint types imports ## lint, format, types, import contract, all tests (with a real engine)
	$(BIN)/pytest --ignore tests/property --ignore tests/conformance --ignore tests/fuzz --durations=10
	$(BIN)/pytest -n auto --maxprocesses 8 tests/property tests/conformance tests/fuzz --durations=5

lint: $(CORE) ## lint and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(CORE) ## format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(CORE) ## strict types
	$(BIN)/mypy

imports: $(CORE) ## the import contract: rooms know only what lies below them
	$(BIN)/lint-imports --no-cache

unit: $(CORE) ## tests that need no engine
	$(BIN)/pytest --ignore tests/engine --ignore tests/faults --durations=5

golden: $(CORE) ## write the golden files anew (then read the diff)
	$(BIN)/pytest tests/unit --update-golden

bench: $(CORE) $(ENGINE) ## measure the start of ttsc, compiling, passes and the client, then everything against the peers
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/compile_speed.py --largest 1000
	$(BIN)/python benchmarks/passes.py
	$(BIN)/python benchmarks/client_cost.py
	$(MAKE) bench-peers

bench-peers: $(CORE) $(ENGINE) ## against hand-written clients, its-hub, optillm and SGLang's frontend: benchmarks/RESULTS.md
	$(BIN)/python benchmarks/peers/environments.py
	$(BIN)/python benchmarks/peers/run.py
	$(BIN)/python benchmarks/peers/same_reward.py

testbed: $(CORE) $(ENGINE) ## train the test bed's models anew (100 minutes on a core)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.testbed.train

wheel: $(CORE) ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation

lock: $(CORE) ## write requirements/*.txt from what is installed in .venv
	$(BIN)/python requirements/lock.py

clean: ## remove what was built, but not .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/ttsc.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The stamps are newer than what they were made from: an installed tree starts at once.
$(CORE): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --no-deps -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(ENGINE): scripts/install_engine.py requirements/engine-cpu.txt | $(CORE)
	$(BIN)/python scripts/install_engine.py
	@touch $@
