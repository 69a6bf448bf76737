# Sluice. `make demo` shows it, `make test` tests it; both install what they need.

CARGO ?= cargo

.PHONY: help build test demo bench clean

help:
	@echo "make demo        three hosts, VXLAN, security groups: the whole product in two minutes (root)"
	@echo "make test        every test"
	@echo "make build       release binaries in target/release"
	@echo "make bench       first figures beside OVS-DPDK: table and plot in target/bench (root)"

build:
	$(CARGO) build --release --locked -p sluice

# Real parts that tests talk to: stock Open vSwitch, namespaces, captures.
test:
	@scripts/need.sh test
	$(CARGO) test --locked --workspace

demo:
	@scripts/need.sh demo
	$(CARGO) build --release --locked -p sluice
	@demo/run.sh

bench:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice -p sluice-benches
	@benches/run.sh
