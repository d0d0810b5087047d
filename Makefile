# `make` lists the targets. Everything runs in .venv, which `make install` creates; it needs only Python and network access.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Use the trust store of the machine if there is one: a company proxy may have its own certificate authority.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= true
endif
CSV ?= facnet_grpc/sample/claims-5000.csv
T ?= tests
# Tests run in two processes, each with servers of its own; J=0 runs them in one, for a debugger.
J ?= 2

##@ Run

.PHONY: demo
demo: install ## Validate a claim file on a temporary stack: make demo CSV=path/to/file.csv
	@facnet run "$(CSV)"

.PHONY: dev
dev: install ## Start PostgreSQL, Valkey, a server and a worker; Ctrl-C stops them
	@facnet dev

##@ Check

.PHONY: test
test: install ## Run the tests: make test T=tests/integration/server J=0
	pytest -n $(J) $(T)

.PHONY: test-unit
test-unit: install ## Run the tests that open no socket: unit, rules, contract
	pytest -n $(J) tests/unit tests/rules tests/contract

.PHONY: check
check: install ## Everything that CI runs: lint, types, imports, protos, generated files, tests
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
	pytest -n $(J)

.PHONY: audit
audit: install ## Check the locked dependencies for known vulnerabilities
	$(PYTHON_BIN) tools/audit.py $(if $(STRICT),--strict)

.PHONY: sbom
sbom: install ## Write a software bill of materials (CycloneDX) to dist/sbom.cdx.json, from the lock file
	@mkdir -p dist
	$(UV) export --quiet --locked --all-extras --no-dev --format cyclonedx1.5 --preview-features sbom-export --output-file dist/sbom.cdx.json > /dev/null

.PHONY: chaos
chaos: install ## Inject random faults for 200 runs and count what is lost: make chaos SEED=1 MINUTES=10 RUNS=500
	$(PYTHON_BIN) tests/chaos/storm.py $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),0) --runs $(or $(RUNS),200)

.PHONY: chaos-points
chaos-points: install ## Inject every fault at every fault point, one by one
	pytest tests/chaos -m chaos_long

.PHONY: test-floor
test-floor: ## Run the client's tests with the lowest supported versions of its dependencies
	tools/test_floor.sh

.PHONY: fuzz
fuzz: install ## Fuzz the reader with generated files: make fuzz SECONDS=60
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --locked --all-extras --inexact --group fuzz
	$(PYTHON_BIN) tests/fuzz/fuzz_reader.py -max_total_time=$(or $(SECONDS),60)

.PHONY: fmt
fmt: install ## Format code and protos, apply automatic fixes
	ruff format
	ruff check --fix
	buf format --write

##@ Generate

.PHONY: proto
proto: install ## Generate the stubs from protos/
	$(PYTHON_BIN) tools/gen_protos.py

.PHONY: docs
docs: install ## Generate pages and blocks of docs/ from code
	$(PYTHON_BIN) tools/docs.py

##@ Measure

.PHONY: bench
bench: install ## Measure time, memory, latency and ratios, and compare them with their targets
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --locked --all-extras --inexact --group bench
	$(PYTHON_BIN) -m benchmarks

.PHONY: bench-large
bench-large: install ## The same, and with a file of 10,000,000 lines
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync -q --locked --all-extras --inexact --group bench
	$(PYTHON_BIN) -m benchmarks --large

.PHONY: bench-ops
bench-ops: install ## Measure scheduling, waiting times, watchers and metrics under load
	$(PYTHON_BIN) -m benchmarks.operations

##@ Data

.PHONY: sample
sample: install ## Write a synthetic claim file: make sample ROWS=100000 OUT=claims.csv
	@facnet sample "$(or $(ROWS),5000)" "$(or $(OUT),claims.csv)"

.PHONY: clean
clean: ## Remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov dist

##@ Install

PYTHON_BIN := $(BIN)/python

.PHONY: install
install: $(VENV)/.installed ## Create .venv with every extra

$(VENV)/.installed: pyproject.toml uv.lock
	@tools/install.sh "$(PYTHON)" "$(VENV)"
	@touch $@

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
