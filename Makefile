# Two commands matter: `make demo` and `make test`. Both set up .venv on first use.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# torch: on Linux the package index gives the CUDA build. Where no GPU is wanted, set TORCH to what PyTorch's install page says for the CPU.
TORCH ?= torch==2.13.0

.PHONY: demo test lint typecheck wheel clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): torch and the rest take some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	@# setuptools warns of folders that are named like packages; four of them are meant to be.
	PYTHONWARNINGS="ignore:Editable installation" $(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/greyzone demo --out demo-case

test: $(VENV)/.installed
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not follow setuptools' package-dir, so it looks at a regular install of the sources.
typecheck: $(VENV)/.installed
	rm -rf build/typecheck build/lib
	$(BIN)/python -m pip install --quiet --no-deps --target build/typecheck .
	MYPYPATH=build/typecheck $(BIN)/mypy -p greyzone

wheel: $(VENV)/.installed
	rm -rf build/lib dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info demo-case
