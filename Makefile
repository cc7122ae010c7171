# make demo: the main job on a shipped model.   make studio: the same on a page.   make test: the tests.
# Each installs what it needs into .venv first.
# PyTorch comes from its index of CPU builds; TORCH_INDEX= takes whatever pip finds (on Linux, gigabytes for CUDA).
PYTHON ?= python3.11
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN := .venv/bin
PACKAGES := data_loaders guidance motion_diffusion sample train visualize

.PHONY: demo studio test lint types clean

INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.venv/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/studio: .venv/base
	$(INSTALL) --editable ".[studio]"
	touch $@

.venv/dev: .venv/base
	$(INSTALL) --editable ".[dev]"
	touch $@

demo: .venv/base
	$(BIN)/python -m sample "a tired person walks and turns left and right" --goals assets/goals/zigzag.json --out out/demo --overwrite

studio: .venv/studio
	$(BIN)/python -m visualize studio

test: .venv/dev
	$(BIN)/python -m pytest -n 2 -rs

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) types

types: .venv/dev
	$(BIN)/mypy $(PACKAGES) docs/api.py docs/examples/*.py

clean:
	rm -rf .venv build out *.egg-info
