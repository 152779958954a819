# make demo   a virtual environment, an install, recipes/demo.yaml to the end
# make test   the same environment, the whole suite
# make lint   formatting, style, types, the direction of imports
# make check  lint and test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint check clean

demo: $(INSTALLED)
	$(BIN)/jpqd run recipes/demo.yaml

# Without restarts: after one pytest-xdist waits for ever.
test: $(INSTALLED)
	$(BIN)/pytest -q -n auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile --durations 25

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# constraints.txt holds the versions that the suite was last run with.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) runs
