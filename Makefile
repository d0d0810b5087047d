# `make` prints what there is. Everything runs in .venv, which `make install` makes with nothing but Python and the network.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Trust what the machine trusts, where it says so: a company's proxy has certificates of its own.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= true
endif
CSV ?= facnet_grpc/sample/claims-5000.csv
T ?= tests

##@ Run

.PHONY: demo
demo: install ## Check a claim file on a throw-away stack: make demo CSV=path/to/file.csv
	@facnet run "$(CSV)"

.PHONY: dev
dev: install ## Start PostgreSQL, Valkey, a server and a worker; Ctrl-C stops them
	@facnet dev

##@ Check

.PHONY: test
test: install ## Run the tests: make test T=tests/unit
	pytest $(T)

.PHONY: check
check: install ## All that CI runs: lint, types, imports, protos, generated files, tests
	ruff check
	ruff format --check
	$(PYTHON_BIN) tools/audit.py
	mypy
	lint-imports
	buf lint
	buf format --diff --exit-code
	$(PYTHON_BIN) tools/buf_breaking.py
	$(PYTHON_BIN) tools/gen_protos.py --check
	$(PYTHON_BIN) tools/docs.py --check
	# What fails is run once more, alone: on a busy machine a real server can be late. Both runs are printed.
	pytest || pytest --last-failed --last-failed-no-failures none

.PHONY: audit
audit: install ## Look the locked dependencies up among known vulnerabilities
	$(PYTHON_BIN) tools/audit.py $(if $(STRICT),--strict)

.PHONY: sbom
sbom: install ## Write what the service is made of to dist/sbom.cdx.json (CycloneDX), from the lock
	@mkdir -p dist
	$(UV) export --quiet --locked --all-extras --no-dev --format cyclonedx1.5 --preview-features sbom-export --output-file dist/sbom.cdx.json > /dev/null

.PHONY: chaos
chaos: install ## Break things at random for 200 runs and count what is lost: make chaos SEED=1 MINUTES=10 RUNS=500
	$(PYTHON_BIN) tests/chaos/storm.py $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),0) --runs $(or $(RUNS),200)

.PHONY: chaos-points
chaos-points: install ## Break everything at every point in the code, one by one
	pytest tests/chaos -m chaos_long

.PHONY: test-floor
test-floor: ## Run the client's tests on the lowest versions that it promises to work with
	tools/test_floor.sh

.PHONY: fuzz
fuzz: install ## Feed the reader with made-up files: make fuzz SECONDS=60
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --locked --all-extras --inexact --group fuzz
	$(PYTHON_BIN) tests/fuzz/fuzz_reader.py -max_total_time=$(or $(SECONDS),60)

.PHONY: fmt
fmt: install ## Format code and protos, mend what can be mended
	ruff format
	ruff check --fix
	buf format --write

##@ Generate

.PHONY: proto
proto: install ## Generate the stubs from protos/
	$(PYTHON_BIN) tools/gen_protos.py

.PHONY: docs
docs: install ## Generate the API, CLI, settings and rule pages
	$(PYTHON_BIN) tools/docs.py

##@ Measure

.PHONY: bench
bench: install ## Every figure, beside what it has to reach: time, memory, latency, ratios
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --locked --all-extras --inexact --group bench
	$(PYTHON_BIN) -m benchmarks

.PHONY: bench-large
bench-large: install ## The same with a file of 10,000,000 lines as well
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --locked --all-extras --inexact --group bench
	$(PYTHON_BIN) -m benchmarks --large

.PHONY: bench-ops
bench-ops: install ## Turns, priorities, waiting, watchers and metrics of a busy service
	$(PYTHON_BIN) -m benchmarks.operations

##@ Data

.PHONY: sample
sample: install ## Write a synthetic claim file: make sample ROWS=100000 OUT=claims.csv
	@facnet sample "$(or $(ROWS),5000)" "$(or $(OUT),claims.csv)"

.PHONY: clean
clean: ## Remove the environment and everything that tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov dist

##@ Install

PYTHON_BIN := $(BIN)/python

.PHONY: install
install: $(VENV)/.installed ## Make .venv with every extra

$(VENV)/.installed: pyproject.toml uv.lock
	@tools/install.sh "$(PYTHON)" "$(VENV)"
	@touch $@

.PHONY: help
help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
