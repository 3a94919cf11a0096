# `make demo` and `make test` do all the set-up on a fresh machine, through `make setup`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.facewise-setup

.PHONY: setup demo test check-real models lint format bench clean

setup: $(STAMP)

# Again only when what is installed changed; the package itself is editable.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Facewise needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

# On your own photos with DATA=folder, a folder per person in it, or LFW.
demo: setup
	$(BIN)/facewise demo $(if $(DATA),--data "$(DATA)")

test: setup
	$(BIN)/python -m pytest -m "not slow" -n auto -q

# The demo and those on real data one after the other: some are timed.
check-real: setup
	$(BIN)/python -m pytest -m "slow and not real" -n auto -q --ignore tests/demo
	$(BIN)/python -m pytest -m "slow and not real" -s -q tests/demo
	$(BIN)/python -m pytest -m "slow and real" -s -q

# The models in the package, from public photos and checkpoints in DATA (data/ and models/); hours on a CPU.
models: setup
	@test -n "$(DATA)" || { echo "Name the folder with data/ and models/: make models DATA=../shared" >&2; exit 2; }
	$(BIN)/python -m scripts.own_models --data "$(DATA)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache facewise-demo
