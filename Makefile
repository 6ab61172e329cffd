# make lab    create .venv, install, and open the course in JupyterLab
# make test   create the same, and run every test
# Needs Python 3.11 or newer and make. May be given: PYTHON=python3.12, the Python to install with; LESSON=2, the lesson
# that `make lab` opens; JOBS=8, the processes of `make test`; OPTIONS="--programs 20000", what else pytest is given.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: help env lab test notebooks exercises clean
.DEFAULT_GOAL := help

help:
	@echo "make lab        open the course in JupyterLab (the first time, install it into $(VENV))"
	@echo "make test       run every test: units, fidelity, the lessons, and a browser if one is there"
	@echo "make env        only install"
	@echo "make notebooks  execute the lessons and store their outputs"
	@echo "make exercises  make the public handouts from the exercises' sources"
	@echo "make clean      remove $(VENV) and caches"

env: $(READY)

# The stamp is as new as the last complete installation, so an interrupted one is taken up again and a second
# `make env` has nothing to do.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "pvlab needs Python 3.11 or newer, which $(PYTHON) is not. Name one that is: make env PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): about 250 MB to download the first time."
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $(READY)

lab: $(READY)
	@$(RUN) -m pvlab lab $(LESSON)

# nbval executes each lesson and compares what it finds with what is stored; xdist gives each core whole files.
test: $(READY)
	@PVLAB_STATIC=1 $(RUN) -m pytest -n $(JOBS) --dist loadscope --max-worker-restart 0 \
	  --nbval --nbval-current-env --nbval-cell-timeout=120 $(OPTIONS)

notebooks: $(READY)
	@$(RUN) -m pvlab.course.notebooks

exercises: $(READY)
	@$(RUN) -m pvlab release --out build/release
	@cp build/release/handouts/*.ipynb notebooks/exercises/

clean:
	rm -rf $(VENV) build dist .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
