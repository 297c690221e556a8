# `make demo` and `make test` do all the set-up on a machine with Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := demo_runs
AGAIN := --resume
# Shallow, large tumours in torsos that differ less than patients do: a decoder learns it in a minute.
PHANTOM := --patients 200 --seed 7 --annotated 0.3 --depth 5 5 --diameter 30 30 --variety 0.2
CFG := --cfg-path config/demo

.PHONY: demo paper test lint install clean

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

install: $(VENV)/installed

# Phantom, both encoders, and one decoder of each task; ends with the scores and the report.
demo: install
	$(RUN) -m src.datasets.phantom $(DEMO)/phantom $(PHANTOM)
	$(RUN) main_latent.py --overwrite $(CFG)
	$(RUN) main_latent.py --gray --overwrite $(CFG)
	$(RUN) main_binary.py --overwrite $(CFG)
	$(RUN) main_seg.py --overwrite $(CFG)
	$(RUN) -m src.evaluation.summary $(DEMO)
	$(RUN) -m src.evaluation.report $(CFG)

# Both encoders and all eight decoders with the settings of config/, then the report. ARGS go to every command:
# make paper ARGS="--set dataset_path=/data/DMR output_root=/data/runs". What was trained already is only tested again,
# unless AGAIN=--overwrite says otherwise.
paper: install
	$(RUN) main_latent.py $(AGAIN) $(ARGS)
	$(RUN) main_latent.py --gray $(AGAIN) $(ARGS)
	for script in main_seg.py main_binary.py; do \
		for case in "" --gray_encoder "--gray_encoder --gray_decoder" --gray_decoder; do \
			$(RUN) $$script $$case $(AGAIN) $(ARGS) || exit 1; \
		done; \
	done
	$(RUN) -m src.evaluation.report $(ARGS)

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(DEMO)
