# The only entry: make demo | test | lint | bench | bench-kill | soak | clean. CI runs lint and test and nothing else.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
INSTALL := $(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint bench bench-kill soak peers clean

demo: $(VENV)/.demo
	$(RUN)/muskox demo

# Rooms that are pure, or that time tells nothing of, share the cores; all others have the machine to themselves.
SHARING := tests/learn tests/evaluate tests/keeper/wire tests/keeper/machine $(filter-out tests/test_readme.py,$(wildcard tests/test_*.py)) \
	tests/store tests/bench tests/examples tests/keeper/kazoo_suite

test: $(VENV)/.test peers
ifdef TESTS
	$(RUN)/python -m pytest $(TESTS)
else
	$(RUN)/python -m pytest -n 2 $(SHARING)
	$(RUN)/python -m pytest $(SHARING:%=--ignore=%)
endif

lint: $(VENV)/.test
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy

bench: $(VENV)/.test $(VENV)/.bench peers
	$(RUN)/python bench/logistic.py
	$(RUN)/python bench/estimators.py
	$(RUN)/python bench/forest.py
	$(RUN)/python bench/recovery.py
	$(RUN)/python bench/planning.py
	$(RUN)/python bench/thousand_workers.py --workers 2,10,100
	$(RUN)/python bench/scaling.py
	$(RUN)/python bench/promise.py
	$(RUN)/python bench/memory.py
	$(RUN)/python bench/collective.py
	$(RUN)/python bench/keeper.py
	$(RUN)/python bench/store.py

# What a death costs, beside torchrun, Dask and XGBoost: an hour and a half, most of it waiting for peers to notice.
bench-kill: $(VENV)/.bench
	$(RUN)/python bench/kill.py

# Seeded misfortunes on a real cluster, until MINUTES are over or something differs.
soak: $(VENV)/.test
	$(RUN)/python bench/soak.py --minutes $(or $(MINUTES),10)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("muskox needs Python 3.11 or newer, not " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[demo]'
	$(RUN)/python -m muskox.client.ahead
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[demo,test]'
	$(RUN)/python -m muskox.client.ahead
	@touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[bench]'
	@touch $@

# Apache ZooKeeper is what the keeper is held against, and what the whole path runs on once more. Installed where we may.
peers:
	@if [ ! -e /usr/share/java/zookeeper.jar ] || ! command -v java >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      default-jre-headless zookeeper >/dev/null; \
	  else echo "Apache ZooKeeper is missing (Debian: apt install default-jre-headless zookeeper): its tests will skip"; fi; \
	fi

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
