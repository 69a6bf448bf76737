# Sluice. `make demo` shows it, `make test` tests it; both install what they need.

CARGO ?= cargo

.PHONY: help build test demo bench bench-peers bench-attack bench-gate bench-vhost test-vhost fuzz-vhost thousand clean conformance soak-conntrack corpus

help:
	@echo "make demo        three hosts, VXLAN, security groups: the whole product in two minutes (root)"
	@echo "make test        every test"
	@echo "make corpus      every recorded command and answer, through a database, with both command lines (root)"
	@echo "make build       release binaries in target/release"
	@echo "make conformance independent suites against sluiced, beside Open vSwitch's score (root, network)"
	@echo "make bench-openflow  rule changes, dumps and bundles beside ovs-vswitchd (root)"
	@echo "make bench       first figures beside OVS-DPDK: table and plot in target/bench (root)"
	@echo "make bench-peers the same, then ClassBench rule sets of 10,000 rules (SHORT=1: fewer windows) (root)"
	@echo "make bench-attack what victims keep while a neighbour attacks, beside OVS-DPDK (root)"
	@echo "make bench-first what the first packet of a flow costs, beside OVS-DPDK's upcall (root)"
	@echo "make bench-scale two workers beside two processes of one"
	@echo "make bench-shared memory that one worker writes for packets and another one touches: none (valgrind)"
	@echo "make bench-vhost two guests (testpmd) through us and through OVS-DPDK: busy cycles per packet (root)"
	@echo "make test-vhost  real guests: testpmd and QEMU, kills and reconnects (root)"
	@echo "make fuzz-vhost  a hostile guest, 10^8 lives (HOSTILE_RUNS=N)"
	@echo "make model-vhost every order in which a guest and the switch can use a ring at once"
	@echo "make fuzz-openflow  mutants of every OpenFlow message and text (MUTANTS=N)"
	@echo "make thousand    a thousand ports at once, beside Open vSwitch (root)"
	@echo "make test-systemd  the unit under a real systemd in namespaces: start, reload, kill, stop (root)"
	@echo "make bench-gate  instructions per packet beside another commit (BASE=REV); fails where they rose by 3 %"

build:
	$(CARGO) build --release --locked -p sluice

# Real parts that tests talk to: stock Open vSwitch, namespaces, captures.
test:
	@scripts/need.sh test
	$(CARGO) test --locked --workspace

corpus:
	@scripts/need.sh test
	$(CARGO) test --locked -p sluice --test corpus -- --include-ignored --nocapture

demo:
	@scripts/need.sh demo
	$(CARGO) build --release --locked -p sluice
	@demo/run.sh

conformance:
	@scripts/need.sh conformance
	$(CARGO) build --release --locked -p sluice
	@conformance/run.sh

.PHONY: bench-openflow
bench-openflow:
	@scripts/need.sh conformance
	$(CARGO) build --release --locked -p sluice
	@SLUICE_BIN=$${CARGO_TARGET_DIR:-target}/release PYTHONDONTWRITEBYTECODE=1 python3 benches/openflow

bench:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice -p sluice-benches
	@benches/run.sh

bench-peers:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice -p sluice-benches
	@benches/run.sh $(if $(SHORT),--short)
	@PYTHONDONTWRITEBYTECODE=1 benches/peers/classbench.py --build $${CARGO_TARGET_DIR:-target}/release --out target/bench --only 10000 --within $(if $(SHORT),60,480)

bench-attack:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice-benches --bin attack --bin inputs
	@$${CARGO_TARGET_DIR:-target}/release/inputs target/bench/in
	@benches/peers/fetch.sh target/bench/peers
	@PYTHONDONTWRITEBYTECODE=1 benches/peers/attack.py --build $${CARGO_TARGET_DIR:-target}/release --out target/bench

# What the first packet of a flow costs, beside OVS-DPDK's upcall.
.PHONY: bench-first
bench-first:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice-benches --bin first --bin inputs
	@$${CARGO_TARGET_DIR:-target}/release/inputs target/bench/in
	@benches/peers/fetch.sh target/bench/peers
	@PYTHONDONTWRITEBYTECODE=1 benches/peers/first.py --build $${CARGO_TARGET_DIR:-target}/release --out target/bench

# What new connections cost, beside OVS-DPDK, and what established ones keep beside a flood of SYNs.
.PHONY: bench-connections
bench-connections:
	$(CARGO) build --release --locked -p sluice-benches --bin connections
	@benches/peers/fetch.sh target/bench/peers
	@PYTHONDONTWRITEBYTECODE=1 benches/peers/connections.py --build $${CARGO_TARGET_DIR:-target}/release --out target/bench
	@$${CARGO_TARGET_DIR:-target}/release/connections flood

# The default base is where this branch left main.
bench-gate:
	@scripts/need.sh gate
	@PYTHONDONTWRITEBYTECODE=1 benches/gate.py $(if $(BASE),--base $(BASE)) $(if $(HEAD),--head $(HEAD))

bench-vhost:
	@scripts/need.sh bench
	$(CARGO) build --release --locked -p sluice -p sluice-benches
	@benches/vhost/run.sh

test-vhost:
	@scripts/need.sh vhost
	$(CARGO) build --release --locked -p sluice -p sluice-benches
	@benches/vhost/guests.sh

fuzz-vhost:
	HOSTILE_RUNS=$(or $(HOSTILE_RUNS),100000000) $(CARGO) test --release --locked -p sluice-port --lib whatever_a_guest_writes -- --include-ignored --nocapture

# Every order in which a guest and the switch can use a ring at once.
.PHONY: model-vhost
model-vhost:
	RUSTFLAGS="$(RUSTFLAGS) --cfg ring_model" CARGO_TARGET_DIR=$${CARGO_TARGET_DIR:-target}/model $(CARGO) test --release --locked -p sluice-port --lib model_tests -- --nocapture

.PHONY: fuzz-openflow
fuzz-openflow:
	MUTANTS=$(or $(MUTANTS),10000000) $(CARGO) test --release --locked -p sluice-openflow --test mutants -- --nocapture

# A thousand ports in one transaction, beside Open vSwitch.
thousand:
	@scripts/need.sh test
	$(CARGO) test --release --locked -p sluice --test database thousand -- --ignored --nocapture

.PHONY: test-systemd
test-systemd:
	$(CARGO) build --release --locked -p sluice
	@packaging/under-systemd.sh $${CARGO_TARGET_DIR:-target}/release

# 10^8 connections come and go: the table's memory stays flat. Some minutes.
soak-conntrack:
	SLUICE_BIRTHS=100000000 $(CARGO) test --release --locked -p sluice-conntrack --test table memory_is_flat -- --nocapture

# Does one worker write for a packet what the other one reads? Every load and store is looked at.
.PHONY: bench-shared
bench-shared:
	@scripts/need.sh gate
	$(CARGO) build --release --locked -p sluice-benches --bin scale
	@PYTHONDONTWRITEBYTECODE=1 python3 benches/shared_lines.py $${CARGO_TARGET_DIR:-target}/release/scale benches/rules/l2.flows benches/rules/neutron.flows

# Two workers of one switch beside two switches of one worker.
.PHONY: bench-scale
bench-scale:
	$(CARGO) build --release --locked -p sluice-benches --bin scale
	@for rules in l2 neutron; do $${CARGO_TARGET_DIR:-target}/release/scale benches/rules/$$rules.flows 10000; done
	@$${CARGO_TARGET_DIR:-target}/release/scale benches/rules/neutron.flows 10000 crossing
