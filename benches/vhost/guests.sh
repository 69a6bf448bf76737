#!/bin/sh
# guests.sh [options of real_guests.py]: real guests behind vhost-user ports: QEMU and testpmd, kills, a migration.
# Nothing is installed; what is started ends with this script, also on Ctrl-C.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
out=target/bench
build=${CARGO_TARGET_DIR:-target}/release
mkdir -p "$out"

[ -x "$build/sluiced" ] || { echo "guests.sh: $build/sluiced is missing: cargo build --release -p sluice" >&2; exit 1; }
[ -e "$out/in/plain-60-1.pcap" ] || "$build/inputs" "$out/in"
benches/peers/fetch.sh "$out/peers"
export PYTHONDONTWRITEBYTECODE=1
exec python3 benches/vhost/real_guests.py --build "$build" --out "$out" "$@"
