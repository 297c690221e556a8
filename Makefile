# `make demo` and `make test` do all the set-up on a machine with Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := demo_runs
# Shallow, large tumours in torsos that differ less than patients do: a decoder learns it in a minute.
PHANTOM := --patients 200 --seed 7 --annotated 0.3 --depth 5 5 --diameter 30 30 --variety 0.2
CFG := --cfg-path config/demo

.PHONY: demo test lint install clean

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

install: $(VENV)/installed

# Phantom, both encoders, and one decoder of each task; ends with the scores.
demo: install
	$(RUN) -m src.datasets.phantom $(DEMO)/phantom $(PHANTOM)
	$(RUN) main_latent.py $(CFG)
	$(RUN) main_latent.py --gray $(CFG)
	$(RUN) main_binary.py $(CFG)
	$(RUN) main_seg.py $(CFG)
	$(RUN) -m src.evaluation.summary $(DEMO)

test: lint
	$(RUN) -m pytest

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(DEMO)
