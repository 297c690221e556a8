# `make demo` and `make test` do all the set-up on a machine with make and any Python from 3.11 on.
# PYTHON: the first of these that runs (a shim of a version manager may not), is new enough and can make the
# environment. Where there is none a recipe says so, since `make clean` needs none.
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3
IS_FIT := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for name in $(PYTHONS); do for found in $$(which -a $$name 2>/dev/null); do \
	if $$found -c '$(IS_FIT)' >/dev/null 2>&1; then echo $$found; exit; fi; done; done)
endif
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := demo_runs
AGAIN := --resume
# Shallow, large tumours in torsos that differ less than patients do: a decoder learns it in a minute.
PHANTOM := --patients 200 --seed 7 --annotated 0.3 --depth 5 5 --diameter 30 30 --variety 0.1
CFG := --cfg-path config/demo

.PHONY: demo paper test suite lint install clean

$(VENV)/installed: requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "no Python from 3.11 on with the modules venv and ensurepip among" \
		"$(PYTHONS): install one (on Debian and Ubuntu: apt install python3 python3-venv), or name yours," \
		"make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements-dev.txt -e .
	touch $@

install: $(VENV)/installed

# Phantom, both encoders, and one decoder of each task; ends with the scores and the report.
demo: install
	$(RUN) -m src.phantom $(DEMO)/phantom $(PHANTOM)
	$(RUN) main_latent.py --overwrite $(CFG)
	$(RUN) main_latent.py --gray --overwrite $(CFG)
	$(RUN) main_binary.py --overwrite $(CFG)
	$(RUN) main_seg.py --overwrite $(CFG)
	$(RUN) -m src.evaluation.summary $(DEMO)
	$(RUN) -m src.report $(CFG)

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
	$(RUN) -m src.report $(ARGS)

# ARGS go to pytest: make test ARGS="--bfloat16 off" is as on a processor that does not multiply bfloat16.
# Both at once: each leaves a core idle for a while.
test: install
	$(MAKE) --no-print-directory --jobs=2 suite lint

suite: install
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(DEMO)
