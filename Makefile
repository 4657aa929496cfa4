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
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n logical --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder -m "not alone" --durations 15
	$(BIN)/python -m pytest -m alone --durations 15

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Each stage goes on where it was stopped; training/embedded/README.md says what each does and takes.
EMBEDDED := PYTHONPATH=tests $(BIN)/python -m training.embedded
EMBEDDED_MINUTES ?= 15
EMBEDDED_FINE_MINUTES ?= 547
EMBEDDED_ALL_MINUTES ?= 676
EMBEDDED_OUT ?= var/embedded/model

embedded-model: $(STAMP)
	$(EMBEDDED) collect
	$(EMBEDDED) vae
	$(EMBEDDED) latents
	$(EMBEDDED) words
	$(EMBEDDED) train long --minutes $(EMBEDDED_MINUTES)
	$(EMBEDDED) train long --recipe fine --minutes $(EMBEDDED_FINE_MINUTES)
	$(EMBEDDED) train cooled --after long --recipe end --cool 3000
	$(EMBEDDED) train longer --after cooled --recipe fine --minutes $(EMBEDDED_ALL_MINUTES)
	$(EMBEDDED) train ended --after longer --recipe end --cool 2400
	$(EMBEDDED) export ended $(EMBEDDED_OUT) --recipe end
	$(EMBEDDED) evaluate $(EMBEDDED_OUT) --wishes final
	$(EMBEDDED) evaluate $(EMBEDDED_OUT) --wishes things
	$(EMBEDDED) evaluate $(EMBEDDED_OUT) --wishes styles --seeds 1
	$(EMBEDDED) card $(EMBEDDED_OUT) --run ended

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
