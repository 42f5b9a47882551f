# Everything a developer does. Each target makes what it needs; Python 3.11 or later, make and git must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# A process each: both register the protocol's messages in protobuf's one pool of names.
PYTEST_CLIENTS := MODELSERVER=$(CURDIR)/$(BIN)/modelserver $(CLIENTS)/bin/python -m pytest -c tests/clients/pytest.ini

.PHONY: help demo test lint format types floors protos check clean

help: ## Say what the targets are
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## Train a model, serve it, call it over every protocol
	$(BIN)/python demo/iris.py

test: $(VENV)/.installed $(CLIENTS)/.installed ## Run the whole test suite, with coverage
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report=
	$(PYTEST_CLIENTS) tests/clients/test_tritonclient.py
	$(PYTEST_CLIENTS) tests/clients/test_kserve.py
	$(BIN)/coverage combine --append --quiet || true
	$(BIN)/coverage report

lint: $(VENV)/.installed ## Look for mistakes and for code that is not formatted
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.installed ## Format the code
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

types: $(VENV)/.installed ## Check the types
	$(BIN)/mypy

floors: $(VENV)/.installed ## Check the direction of imports (docs/architecture)
	$(BIN)/lint-imports

protos: $(VENV)/.installed ## Check the generated code against protos/
	$(BIN)/python protos/generate.py --check

check: lint floors types protos test demo ## Everything that CI runs

clean: ## Remove what was made
	rm -rf $(VENV) $(CLIENTS) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# What a user of scikit-learn models installs; the other frameworks are large, and the demo does without them.
$(VENV)/.demo: pyproject.toml runtimes/sklearn/pyproject.toml constraints.txt
	@sh .ci/venv.sh "$(PYTHON)" "$(VENV)"
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e . -e runtimes/sklearn
	@touch $@

$(VENV)/.installed: $(VENV)/.demo runtimes/xgboost/pyproject.toml runtimes/pytorch/pyproject.toml
	$(BIN)/python $(PIP_INSTALL) -c constraints.txt -e ".[dev,pandas,yaml]" -e "runtimes/sklearn[skops,accelerate]" -e "runtimes/xgboost[cpu,accelerate]" \
		-e "runtimes/pytorch[vision]"
	@touch $@

# The public clients want other versions of protobuf and pandas than we test with.
$(CLIENTS)/.installed: tests/clients/requirements.txt
	@sh .ci/venv.sh "$(PYTHON)" "$(CLIENTS)"
	$(CLIENTS)/bin/python $(PIP_INSTALL) -r tests/clients/requirements.txt
	@touch $@
