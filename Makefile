# Needs only make and a Python 3.10 to 3.13 with its venv module.
#     make quickstart                          a first search, from nothing
#     make quick                               the quick tests
#     make test ARGS='-k space'                some of the tests
#     make venv PYTHON=/path/to/python3.11     a Python of your choice

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Two processes: the first begins with the tests that search with Ray, the other with the rest.
PARALLEL ?= -n 2 --dist loadscope --no-loadscope-reorder
QUICK := 'not slow and not long and not gpu'
DATA ?= ../shared/data

BIN := $(VENV)/bin
# pip would compile 19,000 modules, which takes a minute. A module that is imported is compiled then, and must
# be kept: otherwise each process compiles all that it imports, for ten seconds.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install -qq --no-compile -c constraints.txt
# A PYTHON that was named is used or refused; the default is a first choice among others.
CANDIDATES := $(if $(filter file,$(origin PYTHON)),$(PYTHON) python3.12 python3.11 python3.13 python3.10,$(PYTHON))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv dev quickstart quick test check docs bench release-check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: $(VENV)/.created  ## make the virtual environment

dev: $(VENV)/.dev  ## make it with all that the tests need

quickstart: $(VENV)/.demo  ## install, then run the example study
	$(BIN)/python examples/movielens.py data/movielens.csv.gz
	$(BIN)/tuner run examples/quickstart.yaml

quick: $(VENV)/.dev  ## run the quick tests: those without a search
	$(BIN)/python -m pytest $(PARALLEL) -m $(QUICK) $(ARGS)

test: $(VENV)/.dev  ## run the tests
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: $(VENV)/.dev  ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.docs  ## build the site of the documentation into build/site; broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.dev  ## measure everything anew: four hours on two quiet cores
	$(BIN)/python -m benchmarks.step --data $(DATA)
	$(BIN)/python -m benchmarks.loader --data $(DATA)
	$(BIN)/python -m benchmarks.study --rounds 1
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.scale --data $(DATA)
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.estimates --data $(DATA)
	$(BIN)/python -m benchmarks.scale_store
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.search_quality
	$(BIN)/python -m benchmarks.tables

release-check: $(VENV)/.dev  ## build wheel and sdist, install the wheel, search with it: some minutes
	$(BIN)/python .ci/release_check.py

clean:  ## remove the environment, caches and builds; studies stay
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: each says what $(VENV) holds, so that nothing is done twice. pip comes first: the one that
# Python 3.11 brings resolves four times slower.
$(VENV)/.created:
	@for python in $(CANDIDATES); do \
	    if "$$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	        echo "making $(VENV) with $$("$$python" --version)"; \
	        "$$python" -m venv $(VENV) && $(PIP_INSTALL) --upgrade pip && touch $@; \
	        exit; \
	    fi; \
	done; \
	echo "needs a Python from 3.10 to 3.13, but found none as: $(CANDIDATES)" >&2; \
	echo "name one: make venv PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(VENV)/.demo: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing into $(VENV): minutes the first time"
	@$(PIP_INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing into $(VENV): minutes the first time"
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/.demo $@

$(VENV)/.docs: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing what builds the site into $(VENV)"
	@$(PIP_INSTALL) 'mkdocs-material>=9.7,<10' 'mkdocstrings[python]>=1,<2'
	@touch $@
