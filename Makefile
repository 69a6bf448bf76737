# Sluice. `make demo` shows it, `make test` tests it; both install what they need.

CARGO ?= cargo

.PHONY: help build test demo bench bench-gate clean conformance

help:
	@echo "make demo        three hosts, VXLAN, security groups: the whole product in two minutes (root)"
	@echo "make test        every test"
	@echo "make build       release binaries in target/release"
	@echo "make conformance independent suites against sluiced, beside Open vSwitch's score (root, network)"
	@echo "make bench       first figures beside OVS-DPDK: table and plot in target/bench (root)"
	@echo "make bench-gate  instructions per packet beside another commit (BASE=REV); fails where they rose by 3 %"

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

conformance:
	@scripts/need.sh conformance
	$(CARGO) build --release --locked -p sluice
	@conformance/run.sh

bench:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice -p sluice-benches
	@benches/run.sh

# The default base is where this branch left main.
bench-gate:
	@scripts/need.sh gate
	@PYTHONDONTWRITEBYTECODE=1 benches/gate.py $(if $(BASE),--base $(BASE)) $(if $(HEAD),--head $(HEAD))
