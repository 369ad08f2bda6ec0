# What one does with this source tree. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help try test node bench fuzz generate screenshots

help: ## List these
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

try: ## See a mail arrive: cluster, inbox and operator on this machine, until Ctrl-C (ONCE=1: until the first mail)
	@tests/setup toolchain
	@cargo build --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/try"

test: ## Install what the tests need, check form and lints, run every test
	@tests/setup test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace
	@tests/setup summary

node: ## Run only what needs a real node: chart and operator in Pods, through updates, kills and a stopped kubelet; as root
	@tests/setup node
	cargo test --test node
	@tests/setup summary

bench: ## Measure against peers in the same run: a table, and target/bench/results.json
	@tests/setup test
	cargo bench --bench figures

FUZZ_SECONDS ?= 300
fuzz: ## Look for inputs that break something, FUZZ_SECONDS for each target; needs cargo-fuzz and a nightly compiler
	for target in fuzz/targets/*.rs; do name=$$(basename "$$target" .rs); \
	  cargo +nightly fuzz run --sanitizer none "$$name" -- -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=25 || exit 1; done

generate: ## Write the generated files anew: crds/, the chart's copies, deploy/, docs/outcomes.md
	UPDATE_GENERATED=1 cargo test --test it generated

screenshots: ## Show the standard messages on a desk and on a phone, light, dark and without images; needs Chromium
	cargo run --package mail-operator-testbed --bin screenshots
