# What people and CI run. Every target may be called again: nothing is rebuilt when nothing has changed.
#   make build    .venv with the package, its command .venv/bin/apex, and all it needs
#   make test     the whole suite                     make demo    a seeded market, replayed, with its report
#   make check    lint, types, stubs, tidy            make bench   the benchmarks, with the peers beside us
#   make peers    the peers' environments             make bench-short  their short form, exit 1 when a target is missed
#   make parity   fills against hftbacktest
#   make checked  the suite on the checked build      make long    what is too slow for CI; resumable
#   make sanitize planted bugs, a part of the suite and the fuzzer under ASan and UBSan
#   make fuzz     every decoder, 20,000 payloads      make gate    the speed against the merge base with main
#   make mutants  planted faults against the suite    make coverage   lines of the compiled core
#   make docs     the site, into build/docs           make lock    renew the locks
#   make pages    the figures of docs/strategies, from replays of the recordings
#   make clean    remove what make built
# PYTHON=python3.13 chooses the interpreter of a new .venv; APEX_DATA names the folder of recordings.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: build test check demo bench bench-short peers parity parity-short long checked sanitize fuzz gate \
	mutants coverage pages docs lock clean

BIN := .venv/bin
VENV_PYTHON := $(BIN)/python
PIP := $(VENV_PYTHON) -m pip --disable-pip-version-check
JOBS := $(shell nproc 2>/dev/null || echo 2)
export APEX_DATA ?= $(abspath ../shared/data)
unexport APEX_BUILD APEX_ONLY

CORE := $(shell find apex/_core -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' \))
PEERS := $(patsubst benchmarks/peers/%.txt,.venv-peers-%/.done,$(wildcard benchmarks/peers/*.txt))
PEER_PYTHON ?= $(VENV_PYTHON)

NO_NETWORK = { echo "make: pip could not install the packages (its own words are above). The first build needs a package" \
	"index once; without a network, set PIP_FIND_LINKS to a folder that holds the wheels." >&2; exit 4; }

build: .venv/.editable build/.extensions

.venv/.python:
	@tools/find_python.sh "$(PYTHON)" > /dev/null
	@echo "make: new environment .venv ($$($$(tools/find_python.sh "$(PYTHON)") --version))"
	@$$(tools/find_python.sh "$(PYTHON)") -m venv .venv
	@touch $@

.venv/.dependencies: .venv/.python requirements.lock
	@echo "make: packages of requirements.lock"
	@$(PIP) install --quiet --require-hashes --no-deps -r requirements.lock || $(NO_NETWORK)
	@touch $@

# The extensions are built in place by the next rule, so this one installs the package without them (APEX_ONLY=-).
.venv/.editable: .venv/.dependencies pyproject.toml
	@APEX_ONLY=- $(PIP) install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

build/.extensions: .venv/.dependencies setup.py $(CORE)
	@echo "make: compiled core"
	@mkdir -p build
	@$(VENV_PYTHON) setup.py -q build_ext --inplace -j $(JOBS)
	@touch $@

test: build
	@$(VENV_PYTHON) -m pytest -q

check: build
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cython-lint apex
	$(VENV_PYTHON) -m pytest -q tests/test_tidy.py tests/test_stubs.py

demo: build
	@mkdir -p build/demo
	@$(BIN)/apex generate --seed 7 --events 1000000 --out build/demo/market.tape
	@$(BIN)/apex replay build/demo/market.tape --strategy apex.strategies.maker:Maker --order-latency 5ms \
		--response-latency 5ms --maker-fee 0.00002 --taker-fee 0.0004 --out build/demo/report

# A peer whose environment cannot be made is left out of `make bench`, and its rows say so.
bench: build
	@$(MAKE) --no-print-directory -k peers || echo "make: a peer is missing; its rows say so" >&2
	@$(BIN)/apex bench

bench-short: build peers
	@$(BIN)/apex bench --short --check

peers: build $(PEERS)

.venv-peers-%/.done: benchmarks/peers/%.txt .venv/.python
	@echo "make: environment of peers, $*"
	@$(PEER_PYTHON) -m venv .venv-peers-$*
	@.venv-peers-$*/bin/python -m pip --disable-pip-version-check install --quiet -r $< || $(NO_NETWORK)
	@touch $@

parity: build
	@$(VENV_PYTHON) tools/parity/run.py --full

parity-short: build
	@$(VENV_PYTHON) tools/parity/run.py

# Each of them keeps what it has done, and goes on there; all are run, whatever one of them says.
long: build
	@code=0; $(VENV_PYTHON) tools/long.py || code=1; \
		$(VENV_PYTHON) tools/fuzz/run.py --payloads 1000000 || code=1; \
		$(MAKE) --no-print-directory mutants || code=1; \
		$(MAKE) --no-print-directory coverage || code=1; exit $$code

fuzz: build
	@$(VENV_PYTHON) tools/fuzz/run.py

gate: build
	@$(VENV_PYTHON) tools/gate.py

# The checked build lives in a copy, so that it never replaces the release build in place. The benchmarks measure the
# release build, so their tests stay with it.
checked: build
	@echo "make: checked build in build/checked"
	@tools/copy_tree.sh build/checked
	@cd build/checked && APEX_BUILD=checked $(abspath $(VENV_PYTHON)) setup.py -q build_ext --inplace -j $(JOBS)
	@cd build/checked && APEX_BUILD=checked $(abspath $(VENV_PYTHON)) -m pytest -q -p no:cacheprovider \
		--ignore tests/app/test_bench.py $(TESTS)

# The plots need matplotlib, which nothing else does.
pages: build
	@$(VENV_PYTHON) -c "import matplotlib" 2>/dev/null || $(PIP) install --quiet "matplotlib>=3.9" || $(NO_NETWORK)
	@$(VENV_PYTHON) tools/pages/run.py

# The site has an environment of its own over .venv: it sees our packages, and no user of ours gets its eighty.
.venv-docs/.done: docs/requirements.lock .venv/.editable
	@echo "make: environment of the site"
	@$(VENV_PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > .venv-docs/.place
	@$(VENV_PYTHON) -c "import sysconfig; print('import site; site.addsitedir(\'' + sysconfig.get_path('purelib') + '\')')" \
		> "$$(cat .venv-docs/.place)/ours.pth"
	@.venv-docs/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps \
		-r docs/requirements.lock || $(NO_NETWORK)
	@touch $@

# Any warning is an error; the notebooks run here. Then the page of both ways, where hftbacktest's environment exists.
docs: build .venv-docs/.done
	@.venv-docs/bin/python -m sphinx -W --keep-going --quiet docs build/docs
	@$(VENV_PYTHON) -m pytest -q -rs -p no:cacheprovider tests/docs/test_both_ways.py
	@echo "make: build/docs/index.html"

# These three are built in copies as well. The sanitizers have the release's C, so that only the compiler runs again.
SANITIZED := $(addprefix tests/core/test_,sanitizer.py book.py edges.py ledger.py risk.py matching.py strict.py engine.py \
	why.py view.py events.py features.py signals.py)
SLOW_SANITIZED := --deselect tests/core/test_book.py::test_random_updates_equal_a_dict

sanitize: build
	@echo "make: sanitize build in build/sanitize"
	@tools/copy_tree.sh build/sanitize
	@mkdir -p build/sanitize/build && cp -rpu build/cython-release build/sanitize/build/
	@cd build/sanitize && APEX_BUILD=sanitize $(abspath $(VENV_PYTHON)) setup.py -q build_ext --inplace -j $(JOBS)
	@cd build/sanitize && PYTHON=$(abspath $(VENV_PYTHON)) APEX_HYPOTHESIS=quick tools/sanitized.sh -m pytest -q \
		-p no:cacheprovider --capture=sys $(SLOW_SANITIZED) $(or $(TESTS),$(SANITIZED))
	@cd build/sanitize && PYTHON=$(abspath $(VENV_PYTHON)) tools/sanitized.sh tools/fuzz/run.py --payloads 2000

mutants: build
	@echo "make: faults planted in build/mutants"
	@tools/copy_tree.sh build/mutants
	@$(VENV_PYTHON) tools/mutants/plant.py build/mutants
	@cd build/mutants && APEX_BUILD=mutants $(abspath $(VENV_PYTHON)) setup.py -q build_ext --inplace -j $(JOBS)
	@$(VENV_PYTHON) tools/mutants/run.py

coverage: build
	@echo "make: traced build in build/trace"
	@tools/copy_tree.sh build/trace
	@cd build/trace && APEX_BUILD=trace $(abspath $(VENV_PYTHON)) setup.py -q build_ext --inplace -j $(JOBS)
	@$(VENV_PYTHON) tools/lines.py

lock:
	@tools/lock.sh

clean:
	rm -rf build dist *.egg-info .venv-peers-* .venv-docs .venv/.editable
	find apex -name '*.so' -delete
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
