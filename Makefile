PYTHON ?= python3
BIN := .venv/bin
# Files of tests are handed out to as many processes as there are cores, at most four.
AT_ONCE ?= -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: page page-test up demo test test-long check bench chaos conformance fidelity fmt

up: .venv/ready-run page ; @$(BIN)/studio up
demo: .venv/ready-run page ; @$(BIN)/studio demo
test: .venv/ready-test page-test ; @$(BIN)/pytest $(AT_ONCE)
test-long: .venv/ready-test page-test ; @$(BIN)/pytest -m long
check: .venv/ready-test ; @$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy
bench: .venv/ready-test ; @$(BIN)/python -m tests.bench
chaos: .venv/ready-test ; @$(BIN)/python -m tests.chaos
fidelity: .venv/ready-test ; @$(BIN)/python -m tests.fidelity.measure
conformance: .venv/ready-test ; @$(BIN)/python -m tests.conformance
fmt: .venv/ready-test ; @$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# The Painter page; nothing happens while its sources are as they were.
page: .venv/ready-run ; @$(PYTHON) deploy/build_site.py || true
page-test: .venv/ready-test ; @$(PYTHON) deploy/build_site.py --test || true

.venv/ready-run .venv/ready-test: .venv/ready-%: pyproject.toml
	@$(PYTHON) deploy/set_up.py $*
