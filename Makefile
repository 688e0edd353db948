# One command an intention; `make` alone lists them.
# SLIPWAY_HOME (.slipway) and SLIPWAY_PORT_BASE (8000) choose which platform is meant:
#   make up SLIPWAY_HOME=/var/lib/slipway SLIPWAY_PORT_BASE=9000

.DEFAULT_GOAL := help
SHELL := /bin/sh
# The last line of a command is the one to read, also where another make runs this one.
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
# The first Python that is new enough; `make install PYTHON=...` takes another.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)
# How many processes run tests beside each other; 0 runs them in one, for a debugger.
JOBS ?= 2
# Named after the content of the lock: a changed lock is installed once, an unchanged one never again.
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
PLATFORM := $(BIN)/python -m deploy.embedded

.PHONY: help
help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(STAMP) ## Install what requirements.lock names into .venv

$(STAMP): | $(BIN)/pip
	@echo "Installing what requirements.lock names into $(VENV); this takes a minute or two, once a lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

# Not the interpreter, which is there already when `venv` fails for want of pip.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "Slipway needs Python 3.11 or later: install it, or name it: make install PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "This Python cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }

# What only looks or stops must not begin by installing.
.PHONY: installed
installed:
	@ls $(VENV)/.installed-* >/dev/null 2>&1 || { echo "Nothing is installed here yet: make up installs and starts."; exit 1; }

.PHONY: up
up: $(STAMP) ## Start the platform (installs what is missing)
	@$(PLATFORM) up

.PHONY: demo
demo: $(STAMP) ## Start the platform and make the environment demo-api
	@$(PLATFORM) demo

.PHONY: down
down: installed ## Stop the platform; its data stays
	@$(PLATFORM) down

.PHONY: status
status: installed ## Show each process: state, uptime, memory, whether it answers
	@$(PLATFORM) status

.PHONY: logs
logs: installed ## Show the logs: make logs PROCESS=gateway FOLLOW=1
	@$(PLATFORM) logs $(PROCESS) $(if $(FOLLOW),--follow)

.PHONY: doctor
doctor: installed ## Say what is wrong with this machine or platform, and how to mend it
	@$(PLATFORM) doctor

.PHONY: reset
reset: installed ## Stop the platform and delete everything it has (asks first)
	@$(PLATFORM) reset

.PHONY: test
test: $(STAMP) $(if $(ARGS),,lint) ## Lint, then run every test; only some: make test ARGS=tests/unit
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

.PHONY: faults
faults: $(STAMP) ## Kill services and parts at every point of every step, and look from outside (SEED=… MINUTES=… at random)
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: cluster-test
cluster-test: $(STAMP) ## Kill replicas and servers of a bus of three under load (REPLICAS=2 CREATIONS=200)
	@SLIPWAY_CLUSTER_REPLICAS=$(or $(REPLICAS),2) SLIPWAY_CLUSTER_CREATIONS=$(or $(CREATIONS),200) \
		$(BIN)/python -m pytest tests/cluster $(ARGS)

.PHONY: bench
bench: $(STAMP) ## Run the benchmarks
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: docs
docs: $(STAMP) ## Build the documentation site into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

.PHONY: sbom
sbom: $(STAMP) ## Write sbom.json, the bill of materials (CycloneDX 1.6)
	@$(BIN)/python -m deploy.sbom sbom.json

.PHONY: licences
licences: $(STAMP) ## Show the licence of every package
	@$(BIN)/python -m deploy.licences

.PHONY: lint
lint: $(STAMP) ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
