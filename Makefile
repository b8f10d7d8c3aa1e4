# The environment is made by the first target that needs it: make reanalysis, make test.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup reanalysis results test verify verify-status bench lock wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv from requirements.lock

# uv installs the rest in seconds; its own hash is checked against the same lock.
$(READY): requirements.lock pyproject.toml .python-version scripts/find-python
	@python=$$(sh scripts/find-python) && "$$python" -m venv --clear $(VENV)
	@echo "installing the locked versions into $(VENV) …"
	@awk '/^uv==/ {on = 1; print; next} on && /--hash/ {print; next} on {exit}' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	@$(BIN)/uv pip install --quiet --system-certs --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

reanalysis: $(READY)  ## reanalyse the tacrolimus cohort under every model and interpretation, and ISIS-2
	@$(BIN)/cotreat reanalyse sun2024
	@$(BIN)/cotreat reanalyse isis2 --model interaction

results: $(READY)  ## make every kept study again, with the fits of its script; about 20 minutes
	@$(BIN)/python -m validation.scripts.reanalyse_kept --out results

test: $(READY)  ## run the tests, format, lint, type check and import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -n auto --dist worksteal

verify: $(READY)  ## run the long checks that are missing or stale; hours at first
	@$(BIN)/python -m validation.verify

verify-status: $(READY)  ## list the long checks that are missing or stale, with CPU-minutes
	@$(BIN)/python -m validation.verify --status

bench: $(READY)  ## time whole processes, cold and warm; prints medians
	@$(BIN)/python -m validation.scripts.bench

lock: $(READY)  ## renew requirements.lock from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.12 \
	  --generate-hashes --no-header --upgrade --quiet --system-certs --output-file requirements.lock

wheel: $(READY)  ## build the wheel into dist/
	@$(BIN)/uv build --wheel --no-build-isolation --python $(BIN)/python --quiet

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build dist src/*.egg-info
