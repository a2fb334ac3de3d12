# Two commands for users: `make demo` and `make test`. The rest is for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread a process: two cores are shared by the relay, the chain and the sites.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check contracts contracts-build mutants nightly clean

demo: $(VENV)/.demo  ## install, then train four hospitals as a swarm (about 4 minutes)
	$(BIN)/flwr-swarm demo $(ARGS)

test: $(VENV)/.test  ## install what tests need, then run them
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: $(VENV)/.dev  ## lint and type-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

contracts-build: $(VENV)/.dev  ## compile the contracts into the artifact that ships in the wheel
	$(BIN)/python contracts/build.py

contracts: $(VENV)/.dev .venv-halmos/.done .venv-slither/.done  ## every check of the contracts; offline once installed
	$(BIN)/python contracts/build.py --check
	$(BIN)/python -m pytest -m '' tests/contracts
	$(BIN)/python -m pytest -m node tests/chain
	$(BIN)/python contracts/check.py forge
	$(BIN)/python contracts/check.py gas
	$(BIN)/python contracts/check.py halmos
	$(BIN)/python contracts/check.py slither

mutants: $(VENV)/.dev  ## plant faults into the contracts, one at a time (about 10 minutes)
	$(BIN)/python contracts/mutants.py

nightly: $(VENV)/.dev  ## what CI is too short for
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 --dist worksteal tests/chain tests/machines
	$(BIN)/python -m pytest -m debian tests/benchmarks
	$(INSTALL) -e '.[fuzz]' && $(BIN)/python -m tests.fuzz --guided --count 1000000
	$(BIN)/python contracts/mutants.py --chain
	$(BIN)/python -m benchmarks.durability
	$(BIN)/python -m benchmarks.encryption
	$(BIN)/python -m benchmarks.utility
	$(BIN)/python -m benchmarks.gates
	$(BIN)/python -m benchmarks.election

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; name it: make PYTHON=python3.11"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[demo]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[test]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	touch $@

# slither pins another web3 than we use, halmos other pins again: each has an environment of its own.
.venv-%/.done: contracts/tools/%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	rm -rf $(VENV) .venv-halmos .venv-slither build dist *.egg-info contracts/node_modules .hypothesis .mypy_cache .ruff_cache .pytest_cache
