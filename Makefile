# `make repro` runs the experiment, `make test` the tests; both set up .venv first. Needs Python 3.11 and a package index.
PYTHON ?= python3.11
VENV ?= $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)

.PHONY: repro test lint
repro: $(VENV)/ready
	@python -m tools.mend_lock
	dvc repro

test: $(VENV)/ready
	python -m pytest -m "not slow"

lint: $(VENV)/ready
	ruff check .
	ruff format --check .

$(VENV)/ready: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.txt
	touch $@
