# `make repro` runs the experiment, `make test` the tests, `make audit` makes the committed results again from nothing and
# compares. All set up .venv first, from the locks. Needs Python 3.11 and a package index. JOBS: cells side by side.
PYTHON ?= python3.11
VENV ?= $(CURDIR)/.venv
JOBS ?=
PIP = $(VENV)/bin/pip install --quiet --no-deps --require-hashes
export PATH := $(VENV)/bin:$(PATH)

.PHONY: repro test lint audit lock processors exp-table
repro: $(VENV)/ready
	@python -m tools.mend_lock
	@python -m tools.side_by_side $(JOBS)

test: $(VENV)/ready
	python -m pytest -m "not slow"

lint: $(VENV)/ready
	ruff check .
	ruff format --check .
	mypy

# `dvc exp show` without prompts, files and sums: the accuracies, and the params that differ
exp-table: $(VENV)/ready
	@dvc exp show --no-pager --only-changed --hide-workspace \
	    --drop 'Created|share|^data|^models|^reports|^stages|^prompt' $(ARGS)

audit: $(VENV)/ready
	@python -m tools.audit

lock: $(VENV)/ready  # after a change of requirements.in or requirements-gpu.in
	python -m tools.lock

processors: $(VENV)/ready  # needs qemu-x86_64 (Debian: qemu-user)
	python -m tools.processors

# The locks name every package, so none is looked for. Torch is the small build for the CPU where there is one.
$(VENV)/ready: requirements.txt requirements-cpu.txt requirements-cuda.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --requirement requirements.txt
	$(PIP) --requirement requirements-cpu.txt 2>/dev/null || $(PIP) --requirement requirements-cuda.txt
	$(VENV)/bin/pip check
	-git config merge.dvc-lock.driver "python -m tools.merge_lock %O %A %B"
	touch $@
