# Everything runs from a fresh clone with Python 3.11 or later and make: `make test`, `make figures`, `make lab`.

PYTHON ?= python3
OUT    ?= figures
SEED   ?=
ARGS   ?=

# Which build of PyTorch: cpu (small) or cuda. An existing environment keeps what it has unless told otherwise.
TORCH  ?= $(or $(shell cat .venv/.torch 2>/dev/null),cpu)

BIN        := .venv/bin
STAMP       = .venv/.installed-$(TORCH)
CPU_WHEELS := https://download.pytorch.org/whl/cpu
PIP         = $(BIN)/python -m pip install --disable-pip-version-check

# One process a core, a file at a time, and one thread each: more would only wait for one another.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env figures test test-browser lab notebooks site lint clean

help: ## list the targets
	@echo "usage: make TARGET [PYTHON=python3] [TORCH=cpu|cuda] [OUT=figures] [SEED=0] [ARGS='...']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

env: $(STAMP) ## create .venv with everything, at the versions of constraints.txt

figures: env ## draw the reference figures into OUT
	$(BIN)/toylab figures --out "$(OUT)" $(if $(SEED),--seed $(SEED)) $(ARGS)

test: env lint ## lint, the whole test suite, and every notebook against its stored outputs
	$(SIDE_BY_SIDE) --ignore=tests/browser $(ARGS)
	$(SIDE_BY_SIDE) --nbval --nbval-current-env --nbval-cell-timeout=300 \
	    --nbval-sanitize-with tests/nbval_sanitize.cfg notebooks/

test-browser: env ## run the widgets in JupyterLab and Chromium, which must be installed
	$(PIP) "playwright==1.65.2"
	$(BIN)/python -m pytest tests/browser $(ARGS)

lab: env ## open the notebooks in JupyterLab, on this machine only
	$(BIN)/toylab lab $(ARGS)

notebooks: env ## run the notebooks again and store their outputs
	$(BIN)/python -m nbconvert --to notebook --execute --inplace notebooks/*.ipynb

site: env ## render notebooks and pages to HTML in site, and check every link and picture
	rm -rf site
	$(BIN)/python docs/make_site.py $(ARGS)

lint: env ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean: ## remove .venv, figures, site and caches
	rm -rf .venv figures site build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

# PyTorch goes in first and alone, since only here its build is chosen; what it needs comes with the rest.
# On Linux the CPU build has a version of its own, X+cpu, so a missing one is an error and never becomes the
# CUDA build by accident. The first try gives up at once where PyTorch's index cannot be reached and a local
# wheel serves; the second is patient. `===` takes the plain X of the package index, never X+cpu.
$(STAMP): pyproject.toml constraints.txt
	@case "$(TORCH)" in cpu|cuda) ;; *) \
	    echo "make: TORCH is '$(TORCH)': it must be cpu or cuda." >&2; exit 1;; esac
	@if ! [ -x $(BIN)/pip ]; then \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	        echo "make: toylab needs Python 3.11 or later, and '$(PYTHON)' is not." \
	             "Name one: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	    echo "$(PYTHON) -m venv .venv"; $(PYTHON) -m venv .venv; fi
	@rm -f .venv/.installed-* .venv/.torch
	@version=$$(sed -n 's/^torch==//p' constraints.txt); \
	case "$(TORCH)-$$(uname -s)" in \
	    cpu-Linux) wanted="torch==$$version+cpu";; \
	    cuda-*)    wanted="torch===$$version";; \
	    *)         wanted="torch==$$version";; \
	esac; \
	echo "installing $$wanted"; \
	if [ "$(TORCH)" = cuda ]; then $(PIP) --no-deps "$$wanted"; \
	else \
	    $(PIP) --no-deps --extra-index-url $(CPU_WHEELS) --retries 0 --timeout 10 "$$wanted" || \
	    $(PIP) --no-deps --extra-index-url $(CPU_WHEELS) --retries 3 --timeout 60 "$$wanted"; \
	fi || { echo "make: no $(TORCH) build of PyTorch $$version was found for this Python and machine." \
	             "Is $(CPU_WHEELS) in reach? TORCH=cuda takes the package index's own build." >&2; exit 1; }
	$(PIP) -c constraints.txt -e ".[lab,test]"
	@echo "$(TORCH)" > .venv/.torch
	@touch $@
