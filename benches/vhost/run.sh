#!/bin/sh
# run.sh [--short]: guest to guest through vhost-user, beside OVS-DPDK. Results in target/bench/vhost.md.
# Nothing is installed; what is started ends with this script, also on Ctrl-C.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
out=target/bench
build=${CARGO_TARGET_DIR:-target}/release
mkdir -p "$out"

[ -x "$build/sluiced" ] || { echo "run.sh: $build/sluiced is missing: cargo build --release -p sluice" >&2; exit 1; }
[ -e "$out/in/plain-60-1.pcap" ] && [ "$out/in/plain-60-1.pcap" -nt "$build/inputs" ] || "$build/inputs" "$out/in"
echo "fetching OVS-DPDK and testpmd (unpacked into $out/peers, not installed)"
benches/peers/fetch.sh "$out/peers"
export PYTHONDONTWRITEBYTECODE=1
exec python3 benches/vhost/compare.py --build "$build" --out "$out" "$@"
