# make demo   environment, simulated cohort, participant and group level; ends with the report
# make quick  what decides most, in under a minute on two cores: linters, types, layers, fast tests
# make test   environment, linters, types, layers, docs, tests; make all-tests: the last alone
# make experiments  what guidance does with a shortcut: some trainings on simulated cohorts
# make accessibility  the pages under axe-core, from the npm registry, in Chromium
# make container-test  the image, built and tried without a Docker engine (as root, on Debian)
# make slurm-test      a SLURM of one node, and the scripts of docs/hpc on it (as root, on Debian)
# make faults   kills, full disks, flipped bits and odd surroundings; ends with a table
# make presets  every study of the papers, cut short, on small simulated cohorts
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
NPROCS ?= 2

# what `make quick` runs: the numbers, the tables, the rules of the house, and one test of each kind of
# calculation on torch. What belongs to SpRAy takes longer than all of these.
QUICK := tests/unit/test_house.py tests/unit/test_errors.py tests/unit/test_settings.py \
  tests/unit/core tests/unit/tables tests/unit/studies tests/unit/cli \
  tests/unit/bids/test_files.py tests/unit/bids/test_names.py tests/unit/bids/test_stamps.py \
  tests/unit/attribution/test_lrp.py tests/unit/attribution/test_zplus.py \
  tests/unit/training/test_losses.py tests/unit/training/test_schedule.py
QUICK_WITHOUT := --ignore-glob='*spray*' --ignore-glob='*audit*'

.PHONY: demo quick quick-tests test all-tests lint docs presets experiments accessibility faults container-test slurm-test clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	touch $@

$(DEMO)/raw/dataset_description.json: | $(VENV)/.ready
	rm -rf $(DEMO)/raw
	$(BIN)/bids_xai_simulate $(DEMO)/raw --n-participants 24 --voxel-mm 3 --effect 100 --seed 1

# the preset quick with the guidance of tinauer2025, from the start: on so few people that of quick
# fails by chance (docs/guidance.md); 45 epochs do
$(DEMO)/quick.toml: bids_xai/studies/quick.toml
	mkdir -p $(DEMO)
	sed -e 's/^epochs = .*/epochs = 45/' \
	  -e 's/^guidance_after = .*/guidance_after = 0/' $< >$@

demo: $(DEMO)/raw/dataset_description.json $(DEMO)/quick.toml
	$(BIN)/bids_xai $(DEMO)/raw $(DEMO)/out participant --nprocs $(NPROCS) \
	  --output-spaces MNI152NLin2009aSym:res-3 --sloppy
	$(BIN)/bids_xai $(DEMO)/raw $(DEMO)/out group --study $(DEMO)/quick.toml --nprocs $(NPROCS)

lint: | $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

quick: | $(VENV)/.ready
	@start=$$(date +%s); $(MAKE) --no-print-directory -j2 lint quick-tests; status=$$?; \
	  echo "quick: $$(($$(date +%s) - start)) s"; exit $$status

quick-tests: | $(VENV)/.ready
	$(BIN)/python -m pytest $(QUICK) $(QUICK_WITHOUT) -n $(NPROCS) -q

docs: | $(VENV)/.ready
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

test: | $(VENV)/.ready
	@start=$$(date +%s); $(MAKE) --no-print-directory -j2 lint docs && \
	  $(MAKE) --no-print-directory all-tests; status=$$?; \
	  echo "test: $$(($$(date +%s) - start)) s"; exit $$status

# whole runs first, the longest before the others (tests/e2e/conftest.py); then files of unit tests keep
# all processors busy to the end
all-tests: | $(VENV)/.ready
	$(BIN)/python -m pytest tests -n $(NPROCS) --dist loadfile --no-loadscope-reorder

presets: | $(VENV)/.ready
	PRESETS=1 $(BIN)/python -m pytest tests/e2e/test_presets.py -n $(NPROCS) --dist worksteal

experiments: | $(VENV)/.ready
	EXPERIMENTS=1 $(BIN)/python -m pytest tests/e2e/test_cheat.py tests/e2e/test_strategies.py

faults: | $(VENV)/.ready
	FAULTS=1 $(BIN)/python -m pytest tests/e2e/test_campaign.py -q -s

accessibility: | $(VENV)/.ready
	mkdir -p build/axe && cd build/axe && npm pack --silent axe-core && tar xzf axe-core-*.tgz
	AXE=$(CURDIR)/build/axe/package/axe.min.js $(BIN)/python -m pytest tests/e2e/test_group.py -k axe

container-test: | $(VENV)/.ready
	tests/container/container_test.sh

slurm-test: | $(VENV)/.ready
	tests/container/slurm_test.sh

clean:
	rm -rf $(DEMO) docs/_build build dist
