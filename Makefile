# Every target works in a fresh clone with Python 3.11+: it sets up .venv first. Standard output carries only results;
# progress goes to standard error, so that `make -s plan FORMAT=json` prints one JSON document and nothing else.

STACK   ?= prod
CONFIG  ?=
FORMAT  ?= text
OUT     ?= rendered
REFUSED ?=
RUNS    ?= 5
ARGS    ?=

VENV   := .venv
PY     := $(VENV)/bin/python
# The first of these that is Python 3.11 or newer.
PYTHON ?= $(shell for each in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done)
# One stack: a file by its path, or a shipped one by its name.
TARGET  = $(if $(CONFIG),--config "$(CONFIG)",--stack "$(STACK)")
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --requirement

.PHONY: help plan render test lint bench accuracy rehearse test-cluster clean
.DEFAULT_GOAL := help

help:
	@echo 'make plan    [STACK=prod | CONFIG=file] [FORMAT=text|json] [REFUSED=n]  what would run, why, and what it costs'
	@echo 'make render  [STACK=prod | CONFIG=file] [OUT=rendered]                  every Kubernetes object as YAML'
	@echo 'make test | lint | bench | accuracy                                     check, measure'
	@echo 'make rehearse [STACK=prod | CONFIG=file] [ARGS="--scale llama-8b=3"]    the real Karpenter on a local control plane (needs Go)'
	@echo 'make test-cluster                                                       tests on that control plane (needs Go)'

plan: $(VENV)/run.stamp
	@$(PY) -m offline.plan $(TARGET) --format "$(FORMAT)" $(if $(REFUSED),--refused "$(REFUSED)")

render: $(VENV)/run.stamp
	@$(PY) -m offline.render $(TARGET) --out "$(OUT)"

test: $(VENV)/dev.stamp
	@$(PY) -m pytest --ignore=tests/cluster

lint: $(VENV)/dev.stamp
	@$(PY) -m ruff check .
	@$(VENV)/bin/basedpyright --pythonpath $(PY)

bench: $(VENV)/run.stamp
	@$(PY) -m offline.bench --stack "$(STACK)" --runs "$(RUNS)"
	@$(PY) -m tests.bench_sizing

accuracy: $(VENV)/dev.stamp
	@$(PY) -m tests.accuracy

rehearse: $(VENV)/dev.stamp
	@$(PY) -m offline.rehearsal $(TARGET) --format "$(FORMAT)" $(ARGS)

test-cluster: $(VENV)/dev.stamp
	@$(PY) -m pytest tests/cluster

clean:
	@rm -rf $(VENV) rendered .pytest_cache .ruff_cache .hypothesis

# pip leaves what it already has; the stamp is newer than the pins only after a complete installation.
$(VENV)/run.stamp: requirements.txt $(VENV)/pyvenv.cfg
	@echo 'installing requirements.txt into $(VENV) (once, about a minute)' >&2
	@$(INSTALL) requirements.txt >&2
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt $(VENV)/pyvenv.cfg
	@echo 'installing requirements-dev.txt into $(VENV) (once, about two minutes)' >&2
	@$(INSTALL) requirements-dev.txt >&2
	@touch $@ $(VENV)/run.stamp

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed, and none of python3.14 ... python3 is.' \
		'Install one, or name it: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is older than Python 3.11")' >&2
	@echo 'creating $(VENV) with $(PYTHON)' >&2
	@"$(PYTHON)" -m venv $(VENV) >&2
