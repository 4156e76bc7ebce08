# Two commands on a bare machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

SPARK_VENV := .venv-spark
SPARK_BIN := $(SPARK_VENV)/bin
SPARK_STAMP := $(SPARK_VENV)/.stamp

.PHONY: demo test slow spark calibration bench bench-models lint notebooks lock clean help
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

# uv is taken from the lock file with its hash and installs the rest of it; where it cannot (an index
# that only pip knows, say), pip does, more slowly.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (once)"
	@awk '/^uv==/ {take = 1} take {print} take && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	@{ $(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock \
	    && $(BIN)/python -m uv pip install --quiet --require-hashes -r requirements.lock; } \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Spark in an environment of its own: its archive is large, and only tests/spark needs it (and java).
$(SPARK_STAMP): requirements-spark.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(SPARK_BIN)/python || $(PYTHON) -m venv $(SPARK_VENV)
	@echo "installing the locked packages into $(SPARK_VENV) (once)"
	@awk '/^uv==/ {take = 1} take {print} take && !/\\$$/ {exit}' requirements-spark.lock \
	  > $(SPARK_VENV)/uv.lock
	@{ $(SPARK_BIN)/python -m pip install --quiet --require-hashes -r $(SPARK_VENV)/uv.lock \
	    && $(SPARK_BIN)/python -m uv pip install --quiet --require-hashes \
	      -r requirements-spark.lock; } \
	  || $(SPARK_BIN)/python -m pip install --quiet --require-hashes -r requirements-spark.lock
	@$(SPARK_BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## the whole road once, on real purchases (about a minute)
	$(BIN)/uplift demo

test: $(STAMP) ## all fast tests
	$(BIN)/python -m pytest -n auto --dist loadfile

slow: $(STAMP) ## the tests that take longer
	$(BIN)/python -m pytest -m slow -n auto --dist loadfile

spark: $(SPARK_STAMP) ## moments and assignment on a real Spark (needs java)
	SPARK_REQUIRED=true $(SPARK_BIN)/python -m pytest -m "slow or not slow" tests/spark

calibration: $(STAMP) ## does 95 % mean 95 %? every rate of the package, into docs/calibration.md
	$(BIN)/python -m tests.calibration

bench: $(STAMP) ## speed beside its peers, into benchmarks/results
	@for file in benchmarks/bench_*.py; do echo "$$file"; $(BIN)/python $$file || exit 1; done

bench-models: $(STAMP) ## learners beside plain LightGBM, into docs/benchmarks (PEERS=python of an environment with econml)
	$(BIN)/python benchmarks/models/bench_learners.py $(if $(PEERS),--peers $(PEERS)) \
	  $(if $(HILLSTROM),--hillstrom $(HILLSTROM))

notebooks: $(STAMP) ## execute the notebooks
	UPLIFT_DATA="$${UPLIFT_DATA:-$(wildcard $(abspath ../shared/data))}" \
	  $(BIN)/python -m pytest --nbmake --nbmake-timeout=900 notebooks

lint: $(STAMP) ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

lock: $(STAMP) ## renew requirements.lock and requirements-spark.lock from pyproject.toml
	$(BIN)/python -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --extra dev pyproject.toml -o requirements.lock
	$(BIN)/python -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --extra spark-tests --constraint requirements.lock pyproject.toml -o requirements-spark.lock

clean: ## remove the environment and everything a run has written
	rm -rf $(VENV) $(SPARK_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find experiments -mindepth 2 -type f ! -name experiment.yaml ! -name contact_policy.yaml -delete
	find experiments -mindepth 2 -type d -empty -delete
	rm -f experiments/registry.db*
	find mlruns -mindepth 1 ! -name .gitkeep -delete
