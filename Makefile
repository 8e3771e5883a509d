# Everything runs in .venv, made from the lock files at the first use. Only Python >= 3.11 and make are needed.

.DEFAULT_GOAL := help

BIN := .venv/bin
COMPILED := .cache/compiled
RIVALS := .cache/rivals
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
           --no-annotate --no-header --no-emit-index-url --upgrade

.PHONY: run
run: .venv/run  ## start everything on this machine and watch promises being kept and broken
	@exec $(BIN)/puntual up $(ARGS)

.PHONY: test
test: .venv/dev  ## all tests this machine can run; says what it leaves out and why (ARGS="-k renegotiated")
	$(BIN)/pytest $(ARGS)

.PHONY: check
check: style types imports contracts stubs monitoring  ## all that is checked without running it; what CI runs

.PHONY: style
style: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: .venv/dev
	$(BIN)/mypy

.PHONY: imports
imports: .venv/dev
	$(BIN)/lint-imports --no-logo

.PHONY: contracts
contracts: .venv/dev
	$(BIN)/buf lint protos
	.ci/breaking

.PHONY: stubs
stubs: .venv/dev
	.ci/stubs

.PHONY: monitoring
monitoring:
	.ci/monitoring

.PHONY: protos
protos: .venv/dev  ## generate the Python stubs beside the .proto files
	.ci/generate protos

.PHONY: format
format: .venv/dev  ## format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: compile
compile: $(COMPILED)/done  ## compile what runs for every event (needs a C compiler and Python's headers)

.PHONY: test-compiled
test-compiled: $(COMPILED)/done  ## the unit tests of what is compiled, over compiled code
	$(BIN)/pytest --compiled -o pythonpath="$(COMPILED) . protos" $(addprefix tests/unit/,engine promises shared sla notifier) $(ARGS)

.PHONY: image
image:  ## build the image without a daemon (needs root, buildah and mmdebstrap)
	.ci/image

.PHONY: test-image
test-image: .venv/dev  ## try the services of that image on real Kafka
	. .ci/buildah; container=$$(buildah from puntual) && $(BIN)/pytest --container $$container tests/image $(ARGS); \
	status=$$?; buildah rm $$container >/dev/null; exit $$status

.PHONY: chaos
chaos: .venv/dev  ## faults of every kind, each judged by one oracle, on real Kafka (ARGS="--seed 7 --count 200")
	$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: proof
proof: .venv/dev  ## what takes hours: long freezes, many runs under faults and at crash points, a wide search
	$(BIN)/pytest --freeze 150 tests/integration/shared/test_publisher.py
	$(BIN)/pytest --freeze 600 tests/integration/shared/test_publisher.py
	$(BIN)/pytest --fuzz-seconds 1800 --fuzz-seed 1 tests/fuzz
	for run in 1 2 3 4 5 6 7 8 9 10; do \
	    $(BIN)/pytest --hypothesis-profile=search tests/unit --quiet || exit; done
	$(BIN)/python -m tests.chaos --count 200
	$(BIN)/python -m tests.crash

.PHONY: bench
bench: $(COMPILED)/done $(RIVALS)/done  ## measure everything, on a real broker, and others beside it (ARGS="delay burst --short")
	$(BIN)/python -m benchmarks --compiled $(COMPILED) --rivals $(RIVALS)/bin/python --json .cache/bench.json $(ARGS)

.PHONY: lock
lock: .venv/dev  ## bring requirements*.lock up to date with pyproject.toml
	$(COMPILE) --extra build --output-file requirements.lock
	$(COMPILE) --extra build --extra dev --constraints requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --extra bench --constraints requirements.lock --output-file requirements-bench.lock

.PHONY: clean
clean:  ## remove .venv, caches and the data of `make run`
	rm -rf .venv .cache .puntual .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(COMPILED)/done: .venv/dev deploy/compile.py $(shell find services protos/puntual -type f ! -path '*/__pycache__/*')
	@echo "Compiling into $(COMPILED) ..."
	@rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	@$(BIN)/python deploy/compile.py $(COMPILED) >$(COMPILED).log 2>&1 || { cat $(COMPILED).log >&2; exit 1; }
	@touch $@

$(RIVALS)/done: .venv/run requirements-bench.lock
	@echo "Installing what the others need into $(RIVALS) ..."
	@$(BIN)/python -m venv $(RIVALS)
	@$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

.venv/run: requirements.lock pyproject.toml
	@test -x $(BIN)/python || .ci/venv "$(PYTHON)"
	@echo "Installing what requirements.lock names into .venv ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	@echo "Installing what requirements-dev.lock names into .venv ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
