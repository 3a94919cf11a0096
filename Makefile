# `make demo` and `make test` do all the set-up they need on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.facewise-setup
DEMO_STAMP := $(VENV)/.facewise-setup-demo

# Two targets must not install into the same environment at once.
.NOTPARALLEL:
.PHONY: setup setup-demo demo test check-real models lint format bench clean

# Everything; `make demo` makes do with a part of it.
setup: $(STAMP)
setup-demo: $(DEMO_STAMP)

# Again only when what is installed changed; the package itself is editable.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) scripts/setup.py all $(VENV)
	@touch $(DEMO_STAMP) $@

$(DEMO_STAMP): pyproject.toml constraints.txt
	@$(PYTHON) scripts/setup.py train $(VENV)
	@touch $@

# On your own photos with DATA=folder, a folder per person in it, or LFW.
demo: setup-demo
	$(BIN)/facewise demo $(if $(DATA),--data "$(DATA)")

test: setup
	$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal -q

# What passed and what it printed at the end; the demo by itself, as it fills the time it is given.
check-real: setup
	$(BIN)/python -m pytest -m slow -n auto --dist loadgroup -q -rP --durations 20 --ignore tests/demo
	$(BIN)/python -m pytest -m slow -s -q tests/demo

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
