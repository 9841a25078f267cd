# Every target sets up what it needs first; with nothing to do, that takes no time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
PYTEST_ARGS ?=
# Tests start hundreds of processes, each of which would compile everything it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install everything that is missing: uv, Python, .venv, JDK, jars
	@scripts/setup.sh

.PHONY: demo
demo: setup ## the whole path on generated data, with a report at the end
	@$(BIN)/headrace demo

.PHONY: test
test: lint operator ## linters, the operator, then all tests but those below
	$(PYTEST) -n 2 --dist loadfile tests --ignore=tests/faults --ignore=tests/handbook \
		--ignore=tests/benchmarks --ignore=tests/packaging --ignore=tests/deployed \
		--ignore=tests/dags --ignore=tests/scheduled --ignore=tests/trainer --ignore=tests/live \
		$(PYTEST_ARGS)

.PHONY: operator
operator: setup ## the tests of the feature operator
	JAVA_HOME=$(CURDIR)/.venv/jdk mvn -q -B -f streaming/operator/pom.xml verify

.PHONY: live-test
live-test: setup ## what is started as users do: services, jobs, servers, whole days and their gates, images
	$(PYTEST) -n 2 --dist loadfile tests/live $(PYTEST_ARGS)

.PHONY: faults
faults: setup ## the kill tests
	$(PYTEST) -n 2 --dist loadfile tests/faults $(PYTEST_ARGS)

.PHONY: deployed-test
deployed-test: setup ## long runs of a deployed job: parity, values online, state from the lake, versions side by side
	$(PYTEST) -n 2 --dist loadfile tests/deployed $(PYTEST_ARGS)

.PHONY: package-test
package-test: setup ## a new project on nothing but the wheel: every command of its README
	$(PYTEST) tests/packaging $(PYTEST_ARGS)

.PHONY: bench-test
bench-test: setup ## the benchmarks at the size of a toy
	$(PYTEST) tests/benchmarks $(PYTEST_ARGS)

.PHONY: stream-handbook
stream-handbook: setup ## the published transactions through Kafka and Flink
	$(PYTEST) tests/handbook $(PYTEST_ARGS)

.PHONY: handbook-long
handbook-long: setup ## batch beside stream and replay on every published day: an hour
	HEADRACE_HANDBOOK_BEFORE=8 HEADRACE_HANDBOOK_DAYS=174 HEADRACE_HANDBOOK_SHARE=1 \
		$(PYTEST) tests/handbook/test_lambda_and_kappa.py $(PYTEST_ARGS)

.PHONY: faults-long
faults-long: setup ## a TaskManager killed 24 times in one run of the stream job
	HEADRACE_FAULT_KILLS=24 $(PYTEST) tests/faults/test_stream_kills.py -k again_and_again $(PYTEST_ARGS)

.PHONY: airflow
airflow: setup ## Airflow for a look, with the DAGs of the project, until Ctrl-C
	@scripts/airflow.sh show

.PHONY: airflow-setup
airflow-setup: setup ## install Airflow in an environment of its own
	@scripts/airflow.sh setup

.PHONY: airflow-test
airflow-test: airflow-setup ## the DAGs in Airflow: their structure, and days that it runs
	.airflow-venv/bin/python -m pytest tests/dags $(PYTEST_ARGS)
	$(PYTEST) tests/scheduled $(PYTEST_ARGS)

.PHONY: airflow-long
airflow-long: airflow-setup ## three weeks of the published transactions, day by day in Airflow: half an hour
	HEADRACE_AIRFLOW_DAYS=21 $(PYTEST) tests/scheduled/test_days_in_airflow.py -k one_direct_run $(PYTEST_ARGS)

# Of Headrace a trainer has two packages and no more: their folders on its path would bring others.
.PHONY: trainer-setup
trainer-setup: setup ## install PyTorch, the loader and the official readers of shards in an environment of its own
	@scripts/environment.sh .trainer-venv requirements/trainer.txt
	@ln -sfn "$(CURDIR)/batch/headrace_shards" "$(CURDIR)/schemas/headrace_schemas" \
		.trainer-venv/lib/python3*/site-packages/

.PHONY: trainer-test
trainer-test: trainer-setup ## shards in PyTorch, in its distributed checkpoints, and by the official readers
	.trainer-venv/bin/python -m pytest -c tests/trainer/pytest.ini --confcutdir tests/trainer \
		tests/trainer $(PYTEST_ARGS)

.PHONY: lint
lint: docker-lint ## formatter, linter, types, import contracts, Dockerfile, scripts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docker-lint
docker-lint: setup ## the Dockerfile, compose.yaml against its schema, and all shell scripts
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(BIN)/shellcheck scripts/*.sh docker/*.sh .ci/run

.PHONY: format
format: setup ## put the code into its format and mend what the linter can
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: handbook
handbook: setup ## compare with published features: make handbook HANDBOOK_CHECK=/path/to/handbook.py
	@test -f "$(HANDBOOK_CHECK)" || { echo "set HANDBOOK_CHECK to the check's path" >&2; exit 2; }
	$(BIN)/python "$(HANDBOOK_CHECK)" local
	$(BIN)/python "$(HANDBOOK_CHECK)" spark

.PHONY: bench
bench: setup ## the batch benchmark, beside its peers
	@$(BIN)/headrace bench batch

.PHONY: schemas
schemas: setup ## write the JSON Schemas of the contracts, if the change is compatible
	$(BIN)/python -m headrace_schemas.json_schema --write schemas/json

.PHONY: wheel
wheel: setup ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

.PHONY: lock
lock: setup ## resolve the requirement and jar locks anew, within the ranges of pyproject.toml
	scripts/lock.sh

.PHONY: clean
clean: ## remove what was built, fetched or generated here
	rm -rf .venv .airflow-venv .trainer-venv .tools .jgo .setup.lock .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist \
		streaming/operator/target streaming/headrace_streaming/headrace-operator.jar
