# `make repro` runs the experiment, `make test` the tests; both set up .venv first. Needs Python 3.11 and a package index.
PYTHON ?= python3.11
VENV ?= $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)

.PHONY: repro test lint exp-table
repro: $(VENV)/ready
	@python -m tools.mend_lock
	dvc repro

test: $(VENV)/ready
	python -m pytest

lint: $(VENV)/ready
	ruff check .
	ruff format --check .

# `dvc exp show` without prompts, files and sums: the accuracies, and the params that differ
exp-table: $(VENV)/ready
	@dvc exp show --no-pager --only-changed --hide-workspace \
	    --drop 'Created|share|^data|^models|^reports|^stages|^prompt' $(ARGS)

$(VENV)/ready: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.txt
	-git config merge.dvc-lock.driver "python -m tools.merge_lock %O %A %B"
	touch $@
