# Every target sets up what it needs, from a clean clone. PYTHON chooses the interpreter (3.11 to 3.14).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is installed is compiled when it is first imported: all of it at once would take longer than everything else here.
unexport PYTHONDONTWRITEBYTECODE
PIP = $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: demo test test-long test-faults test-device test-trainers test-engines test-browser test-matrix screenshots check docs bench bench-all study package clean
.SECONDARY:

# torch comes first and alone, so that its pinned build is what everything after it finds installed
define environment
@echo "installing torch into $(1), then what goes with it: 1.3 GB on disk, half of it torch (with CUDA more)"
@$(PYTHON) -m venv $(1)
@$(call PIP,$(1)) --upgrade pip
@$(call PIP,$(1)) torch
endef

$(VENV)/.demo: pyproject.toml constraints.txt
	$(call environment,$(VENV))
	@echo "installing batchwright and its command line"
	@$(call PIP,$(VENV)) --editable '.[cli]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "installing what the tests need"
	@$(call PIP,$(VENV)) --group test --group check
	@touch $@

demo: $(VENV)/.demo
	@$(BIN)/batchwright demo $(NAME)

# Tests that fork many processes run by themselves: a process that has imported what all tests need takes three times as long to
# fork. The tests of loaders took 230 s of processor time beside all others, and take 160 s so.
FORKING := tests/faults tests/loader tests/online tests/ranks
REST := $(foreach folder,$(FORKING) tests/trainers tests/engines tests/browser,--ignore $(folder)) tests

test: $(VENV)/.test
	@echo "the whole suite, about 10,000 tests in two parts: a quarter of an hour on two cores"
	@$(BIN)/python -m pytest -q -n 2 $(FORKING) && passed=true || passed=false; \
	    $(BIN)/python -m pytest -q -n 2 $(REST) && $$passed

test-long: $(VENV)/.test
	@$(BIN)/python -m pytest -q --long $(FORKING) && passed=true || passed=false; \
	    $(BIN)/python -m pytest -q --long $(REST) && $$passed

# kills, full disks, damaged files, jumping clocks, hostile input: docs/trust.md has the table; LONG=--long for a hundred kills
test-faults: $(VENV)/.test
	$(BIN)/python -m pytest -q $(LONG) tests/faults tests/fuzz tests/sweep tests/test_unfit.py tests/test_states.py \
	    tests/kernels/test_bounds.py tests/kernels/test_cache.py tests/kernels/test_interrupted.py tests/indexes/test_index.py \
	    tests/loader/test_broken.py tests/online/test_corrupt_states.py tests/online/test_interrupted.py tests/online/test_source_errors.py

# what only a GPU can show; without one it says what was not run, and why
test-device: $(VENV)/.test
	$(BIN)/python -m tests.device

$(VENV)/.trainers: $(VENV)/.test
	$(call PIP,$(VENV)) --group trainers
	@touch $@

# the same environment, with an older transformers before it, torchtitan, and data sets of other libraries, whose pins clash
.venv-apart/.trainers: $(VENV)/.trainers tests/trainers/apart.txt
	@$(PYTHON) -m venv .venv-apart
	@echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
	    > $$(.venv-apart/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth
	.venv-apart/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
	    --requirement tests/trainers/apart.txt
	@touch $@

# whole trainers, in real processes that are killed; LONG=--long for five hundred kills more
test-trainers: $(VENV)/.trainers .venv-apart/.trainers
	$(BIN)/python -m pytest -q -n 2 $(LONG) --ignore tests/trainers/test_torchtitan.py \
	    --ignore tests/trainers/test_torchtitan_runs.py --ignore tests/trainers/test_self_splitting.py \
	    --ignore tests/trainers/test_megatron.py --ignore tests/trainers/test_dgl.py tests/trainers
	.venv-apart/bin/python -m pytest -q -n 2 $(LONG) tests/trainers/test_arguments.py tests/trainers/test_transformers.py \
	    tests/trainers/test_eval_losses.py tests/trainers/test_torchtitan.py tests/trainers/test_torchtitan_runs.py \
	    tests/trainers/test_self_splitting.py tests/trainers/test_megatron.py tests/trainers/test_dgl.py tests/trainers/test_runs.py \
	    -k "not test_runs or (another_world and transformers and not alone)"

# indexes made by clusters of Ray and of Spark on this machine, in an environment of their own; Spark needs Java 17
.venv-engines/.engines: pyproject.toml constraints.txt
	$(call environment,.venv-engines)
	$(call PIP,.venv-engines) --editable '.[index]' --group engines
	@touch $@

test-engines: .venv-engines/.engines
	.venv-engines/bin/python -m pytest -q tests/engines

$(VENV)/.browser: $(VENV)/.test
	$(call PIP,$(VENV)) --group browser
	@touch $@

# reports and notebooks as people see them; the browser is the system's, set up here where this user may do that
test-browser: $(VENV)/.browser
	command -v chromium >/dev/null || test -n "$$CHROMIUM" || test "$$(id -u)" != 0 || { apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }
	$(BIN)/python -m pytest -q tests/browser

# the pictures of the docs, made by those tests
screenshots:
	SCREENSHOTS=docs/images $(MAKE) test-browser

$(VENV)/.docs: $(VENV)/.test
	$(call PIP,$(VENV)) --group docs
	@touch $@

# the site, in docs/_build/html; a link to what is not there is an error. `make test` runs the code blocks
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: $(VENV)/.test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# golden vectors and the suite on every Python that is here, with the oldest and the newest numpy, numba, narwhals and torch: hours, and
# 6 GB of disk for one environment at a time. CELLS="3.14-newest" runs one, TESTS="tests/plans" less, PYTHON_3_14=path names an interpreter
test-matrix:
	CELLS="$(CELLS)" TESTS="$(TESTS)" $(PYTHON) tests/matrix.py

# one environment a benchmark, for peers that cannot live together; NAME=lengths ARGS=histogram.json for another
bench: NAME := $(or $(NAME),balance)
bench:
	test -f .venv-bench-$(NAME)/.bench || $(MAKE) --no-print-directory .venv-bench-$(NAME)/.bench
	.venv-bench-$(NAME)/bin/python benchmarks/$(NAME).py $(ARGS)

# every benchmark three times, beside every peer that installs, and the page of what came out: docs/benchmark-results.md;
# ARGS='--histograms wikipedia.json squad.json' for the figures of packing, and those of lengths on a histogram
BENCHMARKS := balance between_steps mixture raking lengths packing long partition collate online loader scale shared_list
bench-all:
	for name in $(BENCHMARKS); do test -f .venv-bench-$$name/.bench || \
	    $(MAKE) --no-print-directory .venv-bench-$$name/.bench || echo "no environment for $$name"; done
	.venv-bench-balance/bin/python benchmarks/all.py $(ARGS)

.venv-bench-%/.bench: benchmarks/peers/%.txt
	$(call environment,.venv-bench-$*)
	$(call PIP,.venv-bench-$*) --editable '.[cli]' --requirement $<
	if [ -f benchmarks/peers/$*-alone.txt ]; then \
	    $(call PIP,.venv-bench-$*) --no-deps --requirement benchmarks/peers/$*-alone.txt; fi
	@touch $@

# about twenty minutes of one core: writes docs/study-tables.md; results are kept in build/study, and only what is missing is trained
study:
	test -f .venv-bench-study/.bench || $(MAKE) --no-print-directory .venv-bench-study/.bench
	.venv-bench-study/bin/python -m study $(ARGS)

# what a user installs: wheel and sdist, checked and installed into a clean environment of every Python that is here
package:
	sh tests/package.sh

clean:
	rm -rf .venv .venv-engines .venv-apart .venv-bench-* .venv-matrix-* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src -name '*.nb[ci]' -delete
