# `make help` lists the targets. Each one that needs Python makes `.venv` first.
PYTHON ?= python3
INSTALLED := .venv/.installed
RUN := .venv/bin/python
# Every file that is installed is checked against its sum. torch comes first, as the index gives it: with CUDA it wants more.
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test slow coverage mutants check bench faults fuzz clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(INSTALLED) ## from synthetic reviews to a report, in minutes
	$(RUN) -m finetune.compare --config configs/compare/demo.yaml

test: $(INSTALLED) ## the tests and the examples in docstrings, offline: five minutes
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -n auto

slow: $(INSTALLED) ## the other tests: long trainings, several processes, browsers; ten minutes
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -n auto -m slow

coverage: $(INSTALLED) ## the tests with branch coverage of the four rooms
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -n auto -m "not campaign and not fuzz" --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

mutants: $(INSTALLED) ## change the code in a thousand places, one at a time: which changes do the tests notice? Half an hour
	$(PIP) --constraint constraints.txt mutmut
	$(RUN) -m tests.mutants

check: $(INSTALLED) ## style and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m ty check --python .venv

bench: $(INSTALLED) ## measure speed against the alternatives, write docs/performance.md: make bench DATA=DIR (DIR/imdb/*.parquet)
	@test -n "$(DATA)" || { echo "make bench DATA=DIR, where DIR/imdb/ holds train.parquet and unsupervised.parquet"; exit 1; }
	$(RUN) -m benchmarks --data_folder "$(DATA)"

faults: $(INSTALLED) ## kill, cut and spoil at full size, write docs/reliability.md (ten minutes): make faults [ONLY=signals]
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -m campaign -n 0 --durations=0 tests/faults/test_campaign.py $(if $(ONLY),-k "$(ONLY)")

fuzz: $(INSTALLED) ## ten minutes of random bytes and structures for every reader: make fuzz [SECONDS=600] [FIRST=0]
	FUZZ_SECONDS=$(or $(SECONDS),600) FUZZ_FIRST=$(or $(FIRST),0) HF_HUB_OFFLINE=1 \
		$(RUN) -m pytest -m fuzz -n 0 -s tests/faults/test_fuzz.py

clean: ## delete what the targets made, runs included
	rm -rf .venv runs build mutants *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt $(wildcard requirements/*.lock)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Bertlet needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(RUN) -m pip download --quiet --disable-pip-version-check --no-deps --dest .venv/wheels --constraint constraints.txt torch
	$(PIP) --require-hashes --no-deps --no-index --find-links .venv/wheels --requirement requirements/torch.lock
	$(PIP) --require-hashes --no-deps --requirement requirements/base.lock
	@$(RUN) -m pip check > /dev/null || $(PIP) --require-hashes --no-deps --requirement requirements/cuda.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@rm -r .venv/wheels
	@touch $@
