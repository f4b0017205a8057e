# Everything runs from a fresh clone with Python 3.11 or later and make: `make test`, `make figures`, `make lab`.

PYTHON ?= python3
OUT    ?= figures
SEED   ?=
ARGS   ?=
MARKS  ?= not nightly

# The environment, and the file of versions that goes into it; `make floors` has an environment of its own.
VENV        ?= .venv
CONSTRAINTS ?= constraints.txt

# Which build of PyTorch: cpu (small) or cuda. An existing environment keeps its build unless another is asked for.
TORCH  ?= $(or $(shell cat $(VENV)/.torch 2>/dev/null),cpu)

# Threads sleep while they wait for one another: those that spin, as by default, take the cores from other processes.
export OMP_WAIT_POLICY ?= passive

BIN        := $(VENV)/bin
STAMP       = $(VENV)/.installed-$(TORCH)
CPU_WHEELS := https://download.pytorch.org/whl/cpu
PIP         = $(BIN)/python -m pip install --disable-pip-version-check

# One process per core, one file at a time, and one thread each: more would only wait for one another. Files go out in
# the order they are named in, so that the longest come first and both processes end together. Of families of tests, one
# for each public call, some are left to the night: MARKS=nightly runs those alone, MARKS= everything.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "$(MARKS)"

# Each cell of the notebooks is a test, too: run, and compared with its stored output.
NOTEBOOKS := --nbval --nbval-current-env --nbval-cell-timeout=300 --nbval-sanitize-with tests/nbval_sanitize.cfg notebooks

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env figures test suite floors coverage search test-browser bench lab notebooks site lint clean

help: ## list the targets
	@echo "usage: make TARGET [PYTHON=python3] [TORCH=cpu|cuda] [OUT=figures] [SEED=0] [MARKS=nightly] [ARGS='...']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

env: $(STAMP) ## create .venv with everything, at the versions of constraints.txt

figures: env ## draw the reference figures into OUT
	$(BIN)/toylab figures --out "$(OUT)" $(if $(SEED),--seed $(SEED)) $(ARGS)

test: $(VENV)/.triton-$(TORCH) lint ## lint, types, the whole test suite, and every notebook against its stored outputs
	$(SIDE_BY_SIDE) $(NOTEBOOKS) --ignore=tests/browser tests toylab $(ARGS)

suite: $(VENV)/.triton-$(TORCH) ## the test suite alone, or what of it ARGS names
	$(SIDE_BY_SIDE) --ignore=tests/browser $(ARGS)

floors: ## the test suite with the oldest versions that are promised, in .venv-floors
	$(MAKE) suite VENV=.venv-floors CONSTRAINTS=constraints-floors.txt

coverage: $(VENV)/.triton-$(TORCH) ## the test suite, and which lines of toylab it runs
	$(SIDE_BY_SIDE) --ignore=tests/browser --cov --cov-report=term $(ARGS)

search: env ## 20,000 random values of all densities against an independent reference: some ten minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.truth.search --seed 0 1 2 3 4 --cases 4000 --processes 2 $(ARGS)

test-browser: env ## run the widgets in JupyterLab and Chromium, which must be installed
	$(PIP) "playwright==1.65.2"
	$(BIN)/python -m pytest tests/browser $(ARGS)

bench: env ## measure speed and memory, beside the peers that are installed: ARGS="speed --only mala"
	$(BIN)/python -m benchmarks $(ARGS)

# Beside the CPU build of PyTorch, Triton's interpreter runs the GPU's kernels in the tests; the CUDA build brings its own.
$(VENV)/.triton-$(TORCH): $(STAMP)
	@case "$(TORCH)-$$(uname -s)" in cpu-Linux) $(PIP) --no-deps "triton==3.9.0";; esac
	@touch $@

lab: env ## open the notebooks in JupyterLab, on this machine only
	$(BIN)/toylab lab $(ARGS)

notebooks: env ## run the notebooks again and store their outputs
	$(BIN)/python -m nbconvert --to notebook --execute --inplace notebooks/*.ipynb

site: env ## build the documentation in site: pages, lessons and reference, every link and picture checked
	rm -rf site
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W -q -c docs -d site/.doctrees . site $(ARGS)
	rm -rf site/.doctrees jupyter_execute
	@echo "site/index.html: all links, anchors, formulas and pictures are in order"

lint: env ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove .venv, figures, site and caches
	rm -rf .venv .venv-floors figures site jupyter_execute build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

# PyTorch goes in first and alone, since only here its build is chosen; what it needs comes with the rest.
# On Linux the CPU build has a version of its own, X+cpu, so a missing one is an error and never becomes the
# CUDA build by accident. The first try gives up at once where PyTorch's index cannot be reached and a local
# wheel serves; the second is patient. `===` takes the plain X of the package index, never X+cpu.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@case "$(TORCH)" in cpu|cuda) ;; *) \
	    echo "make: TORCH is '$(TORCH)': it must be cpu or cuda." >&2; exit 1;; esac
	@if ! [ -x $(BIN)/pip ]; then \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	        echo "make: toylab needs Python 3.11 or later, and '$(PYTHON)' is not." \
	             "Name one: make PYTHON=python3.12 ..." >&2; exit 1; }; \
	    echo "$(PYTHON) -m venv $(VENV)"; $(PYTHON) -m venv $(VENV); fi
	@rm -f $(VENV)/.installed-* $(VENV)/.torch
	@version=$$(sed -n 's/^torch==//p' $(CONSTRAINTS)); \
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
	$(PIP) -c $(CONSTRAINTS) -e ".[lab,study,transport,test,docs]"
	@echo "$(TORCH)" > $(VENV)/.torch
	@touch $@
