# The commands of the project. `make` alone prints them.

PYTHON ?= python3
VENV ?= .venv
bin := $(VENV)/bin
# The first Python that runs the newest Ansible, if this machine has one.
NEWEST_PYTHON ?= $(firstword $(wildcard $(foreach v,14 13 12,\
	/usr/bin/python3.$v /usr/local/bin/python3.$v $(HOME)/.pyenv/versions/3.$v.*/bin/python)))
scenarios := $(notdir $(patsubst %/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))
# Left to make faults: tests/integration shows the same of hosts that are not reached by SSH.
export SLOW_SCENARIOS := canary_lost failed_migration_mariadb rollout_stops shared_database two_controllers window_closed window_deadline
tests := lint docs sanity unit property integration faults molecule newest postgresql-corpus

export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# What could not run goes here, with the reason, to be named at the end.
export HOSTING_ALEMBIC_NOT_RUN ?= $(CURDIR)/.hosting-alembic/not-run
# The environment's programs are the ones that run, also when one starts another.
export PATH := $(CURDIR)/$(bin):$(PATH)

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: setup
setup: ## make the controller's environment in .venv
	@tests/install setup
	@tests/environment $(VENV) $(PYTHON) requirements

.PHONY: migrate
migrate: setup ## migrate this machine's example database (SQLite, below .hosting-alembic/)
	ansible-playbook migrate.yml

.PHONY: test
test: ## install what the tests need, then run all of them
	@tests/run $(tests)

.PHONY: test-setup
test-setup: setup
	@tests/install tests
	@tests/environment $(VENV) $(PYTHON) requirements requirements-test requirements-docs

.PHONY: test-lint
test-lint: test-setup ## ruff, mypy, the layers, retired words, spelling, ansible-lint
	@tests/each "ruff check ." "ruff format --check ." "mypy plugins tests" "python -m tests.layers" "python -m tests.words" "codespell" "ansible-lint --strict"

.PHONY: docs
docs: setup ## build the pages into .hosting-alembic/docs/html; a warning or a broken link fails
	@tests/environment $(VENV) $(PYTHON) requirements requirements-docs
	python docs/build.py

.PHONY: test-docs docs-modules docs-tarball
test-docs: test-setup ## the pages, the documentation of the modules, the changelog, the tarball as Galaxy checks it
	@$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync=target docs docs-modules docs-tarball

docs-modules:
	@tests/each "antsibull-docs lint-collection-docs --plugin-docs ." "antsibull-changelog lint" "python docs/changelog.py --check"

docs-tarball:
	tests/importer

.PHONY: test-sanity
test-sanity: test-setup ## ansible-test sanity
	tests/sanity

.PHONY: test-unit
test-unit: test-setup ## what the modules are made of, on SQLite
	python -m pytest tests/unit --numprocesses 2 --dist worksteal

.PHONY: test-property
test-property: test-setup ## a seeded hundred of random schemas and revisions; thousands of them: make faults
	python -m pytest tests/property -m daily --numprocesses 2 --dist worksteal

.PHONY: test-integration
test-integration: test-setup ## real playbooks on real servers
	python -m pytest tests/integration -m 'not exhaustive' --verbose --numprocesses 3 --dist worksteal

.PHONY: test-faults
test-faults: test-setup ## some of each kind of fault, injected into real runs; all of them: make faults
	python -m pytest tests/faults -m daily --numprocesses 3 --dist worksteal

# Two scenarios at once: half of one is waiting. Each prints when it has ended.
molecule = @$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync=target $(addprefix molecule-,$(1))

.PHONY: test-molecule
test-molecule: test-setup ## real hosts over SSH; one scenario: make test-molecule SCENARIO=default
	$(call molecule,$(or $(SCENARIO),$(filter-out $(SLOW_SCENARIOS),$(scenarios))))

.PHONY: test-molecule-slow
test-molecule-slow: test-setup
	$(call molecule,$(SLOW_SCENARIOS))

.PHONY: $(addprefix molecule-,$(scenarios))
$(addprefix molecule-,$(scenarios)): molecule-%:
	tests/molecule $*

.PHONY: test-newest
test-newest: test-setup ## the tests marked both_cores, on the newest Ansible
	@tests/newest "$(NEWEST_PYTHON)"

# PostgreSQL 13 is a server without client programs, so a newer pg_dump is tested on it.
.PHONY: test-postgresql-corpus test-postgresql-versions
test-postgresql-corpus: test-setup ## every kind of object, on PostgreSQL 14 and 16 to 18
	python -m tests.postgresql_versions --corpus 14 16 17 18

test-postgresql-versions: test-setup ## the same, every verb, the locks and some faults, on 13 as well, and what the engine is made of
	python -m tests.postgresql_versions

.PHONY: faults
faults: test-setup ## inject faults into real runs, and write what came of them into docs/reliability.md
	@tests/each "python -m pytest tests/integration -m exhaustive" "make test-molecule-slow" "python -m tests.faults"

.PHONY: bench
bench: test-setup ## measure, side by side, against the plain ways of doing the same
	python -m tests.bench

.PHONY: requirements
requirements: test-setup ## compile requirements*.in anew, with hashes
	tests/requirements "$(NEWEST_PYTHON)"

.PHONY: build
build: setup ## make the collection's tarball
	ansible-galaxy collection build --force

.PHONY: clean
clean: ## remove what tests and builds left behind; the example's database and the environment stay
	rm -rf .ansible .cache .mypy_cache .pytest_cache .ruff_cache .hosting-alembic/cache .hosting-alembic/not-run
	rm -f hosting-alembic-*.tar.gz
	find plugins tests migrations -name __pycache__ -prune -exec rm -rf {} +
