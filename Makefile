# make demo: train a model and fill three blanks.   make test: everything CI checks.   Both set themselves up in .venv.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test slow types notebooks readme docs live slides hooks wheels clean help
help:  ## show the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

.venv/.installed: constraints.txt settings.ini setup.py
	@echo "Setting up .venv; the first time this takes a minute or two."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/.installed  ## train the default recipe for 80 seconds on the built-in corpus and fill three blanks
	$(BIN)/tofy train builtin --seconds 80 --out runs/demo --overwrite --device auto
	@echo; echo "Three held-out phrases, each with the word that was hidden:"
	@$(BIN)/tofy diff runs/demo --top 3 \
	  "david has _ to london . => moved" \
	  "would you like to _ more bagels later ? => try" \
	  "we finally reviewed my _ from the cinema . => thriller"
	@echo; echo "Ask your own:         $(BIN)/tofy diff runs/demo"
	@echo "Open the notebooks:   $(BIN)/tofy notebooks"

test: .venv/.docs  ## all tests but the slow ones
	@echo "All tests take about 20 minutes on two cores."
	$(BIN)/python -m pytest

slow: .venv/.installed  ## the slow tests
	$(BIN)/python -m pytest -m slow

types: .venv/.installed  ## check the type hints
	$(BIN)/python -m mypy

notebooks: .venv/.installed  ## export, run all notebooks, keep their outputs, clean; then make the README
	$(BIN)/nbdev_export
	$(BIN)/python tools/notebooks.py
	$(BIN)/python tools/readme.py

readme: .venv/.installed  ## README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

hooks: .venv/.installed  ## look before every commit, and merge notebooks cell by cell; settings of this clone only
	git config core.hooksPath tools/hooks
	git config merge.nbdev-merge.driver "nbdev_merge %O %A %B %P"

.venv/.docs: .venv/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@touch $@

live: .venv/.docs  ## the page that fills blanks in the reader's browser, in build/live
	$(BIN)/python -m tools.live

slides: .venv/.docs  ## slides for six weeks of teaching, in build/slides
	$(BIN)/python -m tools.slides

docs: .venv/.docs  ## the documentation site with the live page, into _docs/
	$(BIN)/python -m tools.live build/live --home ../index.html
	$(BIN)/python -m tools.site

wheels:  ## what benchmarks/gpu.sh installs on a machine without a network (Python 3.12, Linux), into wheels/
	@rm -rf wheels
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
	  --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
	  -c constraints.txt -d wheels tomlkit sentencex fastcore

clean:  ## remove the virtual environment and caches
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache build dist _docs
