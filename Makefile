# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Needed: python3 (3.10 - 3.12) with venv, make, git.

FITS := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.10; do \
  $$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# One per core, while there are 2 GB for each: a worker holds a TensorFlow and what it
# makes, about 1 GB, and LiteRT runs two threads at most beside it.
WORKERS ?= $(shell $(BIN)/python -c 'import os; \
  memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"); \
  print(max(1, min(len(os.sched_getaffinity(0)), int(memory / 2e9))))')
EXTRAS := export,data,desk,sign,android,dev

# The artifact inside the app; `make apk ARTIFACT=artifacts/mine` takes another.
ARTIFACT ?= artifacts/app

.PHONY: help venv test test-slow test-arm test-runtimes lint demo apk aar clean

help:
	@echo "make demo   set up, learn a user's digits in LiteRT, show the figures"
	@echo "make test   set up, check style, run the tests"
	@echo "make test-slow  the tests that make test leaves out for their time"
	@echo "make test-arm   the same artifacts on an emulated ARM64 processor"
	@echo "make apk    the Android app, signed for debugging; make aar: the library for apps"
	@echo "make test-runtimes  the same artifacts on older LiteRTs"
	@echo "make venv   set up only: $(VENV) with the versions of constraints.txt"
	@echo "make lint   style only;   make clean   remove what the above made"

venv: $(STAMP)

$(STAMP): setup.cfg constraints.txt
	@test -n "$(PYTHON)" \
	  || { echo "no Python 3.10 - 3.12 found: install one, or set PYTHON=/path/to/it"; exit 1; }
	@$(PYTHON) -c '$(FITS)' \
	  || { echo "PYTHON=$(PYTHON) is not Python 3.10 - 3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "venv failed: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(STAMP)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .

test: lint
	@test -d ../shared/data || echo "tests marked 'data' will be skipped: no ../shared/data"
	$(BIN)/python -m pytest -rs -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/python -m pytest -rs -m slow -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

# Every method and recipe on an emulated ARM64 processor; `make test` runs a few of them
# once this has set it up.
test-arm: $(STAMP)
	$(BIN)/python -m tflite_odl.desk.arm
	TFLITE_ODL_ARM=all $(BIN)/python -m pytest -rs -n $(WORKERS) --dist loadgroup tests/desk/test_arm.py

apk: $(ARTIFACT) $(STAMP)
	$(BIN)/python tools/apk.py --artifact=$(ARTIFACT) --out=build/android/app.apk

aar: $(STAMP)
	$(BIN)/python tools/aar.py --out=build/android

artifacts/app: | $(STAMP)
	$(BIN)/python tools/convert.py --method=finetune --backbone=resnet8 --dataset=digits \
	  --batch_size=16 --out=$@

# The same on older LiteRTs, each in an environment of its own in the user's cache.
test-runtimes: $(STAMP)
	TFLITE_ODL_RUNTIMES=all $(BIN)/python -m pytest -rs -n $(WORKERS) --dist loadgroup tests/desk/test_older.py

demo: $(STAMP)
	$(BIN)/python tools/demo.py

clean:
	rm -rf $(VENV) artifacts runs build dist *.egg-info .pytest_cache .ruff_cache
