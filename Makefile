# make run: serve the page. make test: the whole suite. make lint: ruff and mypy. make bench: figures.
# make embedded-model: the model that ships, from the drawings to its figures, in many hours.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint bench clean embedded-model

run: $(STAMP)
	$(BIN)/atelier serve

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Each stage goes on where it was stopped; training/embedded/README.md says what each does and takes.
EMBEDDED := PYTHONPATH=tests $(BIN)/python -m training.embedded
EMBEDDED_MINUTES ?= 600
EMBEDDED_OUT ?= var/embedded/model

embedded-model: $(STAMP)
	$(EMBEDDED) collect
	$(EMBEDDED) vae
	$(EMBEDDED) latents
	$(EMBEDDED) words
	$(EMBEDDED) train long --minutes $(EMBEDDED_MINUTES)
	$(EMBEDDED) train cooled --after long --recipe end --cool 3000
	$(EMBEDDED) export cooled $(EMBEDDED_OUT) --recipe end
	$(EMBEDDED) evaluate $(EMBEDDED_OUT) --wishes final

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
