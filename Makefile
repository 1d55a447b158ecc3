# make repro    everything needed, from a fresh clone to the table
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS := .venv-docs
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

# .venv/.repro and .venv/.test say which requirements are installed; a second run installs nothing.
.PHONY: help repro test check docs bench clean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s  %s\n", $$1, $$2}' Makefile
	@echo "JOBS=... sets the number of stages that 'make repro' runs at once."
	@echo "PYTHON=... names another interpreter for the environment (Python 3.11 to 3.13)."

repro: $(VENV)/.repro ## Run the whole comparison: check params.yaml, run the stages, show the table
	@git rev-parse --git-dir >/dev/null || { echo "error: DVC works in a git repository; run 'git init' first" >&2; exit 1; }
	@$(BIN)/fkt repro $(if $(JOBS),--jobs $(JOBS))

test: $(VENV)/.test check ## Check, then run the tests that are not slow
	@$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

check: $(VENV)/.test ## Lint, format, types, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/codespell

docs: $(DOCS)/.installed ## Build the documentation into site/; a broken link is an error
	@$(DOCS)/bin/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --doctree-dir $(DOCS)/doctrees docs site
	@echo "open site/index.html"

bench: $(VENV)/.test ## Measure against peers and against the machine's limit
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench

clean: ## Remove the caches of Python and of the tools; never data, models, results or DVC's cache
	@rm -rf .mypy_cache .pytest_cache .ruff_cache
	@find . -name .git -prune -o -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	{ echo "error: fkt needs Python 3.11 to 3.13, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo not there);" \
	"name another one: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.repro: requirements.txt pyproject.toml | $(BIN)/python
	@start=$$(date +%s); echo "environment: installing into $(VENV) ..."; \
	$(PIP) -r requirements.txt && $(PIP) --no-deps --no-build-isolation -e . || exit 1; \
	touch $@; echo "environment: $$(($$(date +%s) - start)) s"

$(DOCS)/.installed: requirements-docs.txt
	@$(PYTHON) -m venv $(DOCS) && $(DOCS)/bin/python -m pip install -qq --disable-pip-version-check --no-input -r $<
	@touch $@

$(VENV)/.test: requirements.txt requirements-dev.txt pyproject.toml | $(BIN)/python
	@start=$$(date +%s); echo "environment: installing into $(VENV) ..."; \
	$(PIP) -r requirements-dev.txt && $(PIP) --no-deps --no-build-isolation -e . || exit 1; \
	touch $(VENV)/.repro $@; echo "environment: $$(($$(date +%s) - start)) s"
