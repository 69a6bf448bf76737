#!/bin/sh
# run.sh [--short]: figures beside OVS-DPDK, one core, frames from memory. Results in target/bench.
# Nothing is installed; what is started ends with this script, also on Ctrl-C.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
out=target/bench
build=${CARGO_TARGET_DIR:-target}/release
mkdir -p "$out"

[ -x "$build/cell" ] || { echo "run.sh: $build/cell is missing: cargo build --release -p sluice-benches" >&2; exit 1; }
[ -e "$out/in/plain-60-1.pcap" ] && [ "$out/in/plain-60-1.pcap" -nt "$build/inputs" ] || "$build/inputs" "$out/in"
if [ "$(id -u)" != 0 ]; then
    echo "run.sh: not root: no namespace for OVS-DPDK, so our figures stand alone" >&2
else
    echo "fetching OVS-DPDK and testpmd (unpacked into $out/peers, not installed)"
    benches/peers/fetch.sh "$out/peers"
fi
# No caches beside the sources.
export PYTHONDONTWRITEBYTECODE=1
exec python3 benches/peers/compare.py --build "$build" --out "$out" "$@"
