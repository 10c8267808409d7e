# Everything from a fresh clone: `make demo` and `make test` install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := graphs runtime kernels exporter benchmarks
PROMPTS := --prompt "red ring striped blue" --prompt "green square solid yellow" \
	--prompt "blue circle solid red" --prompt "purple cross striped cyan"
PIP := $(BIN)/pip --disable-pip-version-check --no-input --quiet

.PHONY: demo test test-all lint format clean

demo: $(VENV)/installed
	mkdir -p out
	$(BIN)/coopdraw compile examples/shapes/recipe.toml -o out/shapes.bundle --force
	$(BIN)/coopdraw run out/shapes.bundle -o out/demo.png --seed 5 --backend auto \
		--prompt "red ring striped blue" --prompt "green square solid yellow" \
		--prompt "yellow triangle dotted purple" --prompt "blue circle solid red" \
		--prompt "purple cross striped cyan" --prompt "cyan ring solid red" \
		--prompt "red square dotted green" --prompt "green circle striped purple"
	$(BIN)/coopdraw compile examples/shapes/coop.toml -o out/coop.bundle --force
	$(BIN)/coopdraw run out/coop.bundle -o out/coop.png --seed 3 --backend auto $(PROMPTS)
	$(BIN)/coopdraw compile examples/shapes/edges.toml -o out/edges.bundle --force
	$(BIN)/coopdraw run out/edges.bundle -o out/edges.png --seed 3 --backend auto $(PROMPTS) \
		--image edges=examples/shapes/outline.png
	$(BIN)/coopdraw compile examples/shapes/resolution.toml -o out/resolution.bundle --force
	$(BIN)/coopdraw run out/resolution.bundle -o out/resolution.png --seed 3 --backend auto $(PROMPTS)
	@echo "wrote out/demo.png, out/coop.png, out/edges.png and out/resolution.png"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 -m "not slow"

test-all: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

lint: $(VENV)/installed-dev .typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p coopdraw

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy finds the packages by their import names through these links.
.typing: Makefile
	mkdir -p .typing/coopdraw
	for package in $(PACKAGES); do ln -sfn ../../$$package .typing/coopdraw/$$package; done
	touch .typing

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "coopdraw needs Python 3.11 or 3.12: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(BIN)/python
	$(PIP) install --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml $(BIN)/python
	$(PIP) install --editable ".[dev]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) .typing out build *.egg-info
