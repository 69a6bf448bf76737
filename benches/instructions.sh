#!/bin/sh
# instructions.sh: instructions per packet of known flows, counted by valgrind: the same on a busy machine as on a quiet one.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
build=${CARGO_TARGET_DIR:-target}/release
in=target/bench/in
few=20000
many=120000

command -v valgrind >/dev/null || { echo "instructions.sh: valgrind is missing (apt-get install valgrind)" >&2; exit 1; }
[ -x "$build/cell" ] || { echo "instructions.sh: $build/cell is missing: cargo build --release -p sluice-benches" >&2; exit 1; }
[ -e "$in/plain-60-1000.pcap" ] || "$build/inputs" "$in"

count() { # shape rules capture packets
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$build/cell" "$1" "$2" "$3" count="$4" 2>&1 |
        awk '/Collected/ {print $4}'
}

row() { # name shape rules capture
    a=$(count "$2" "$3" "$in/$4" $few)
    b=$(count "$2" "$3" "$in/$4" $many)
    awk -v name="$1" -v a="$a" -v b="$b" -v n=$((many - few)) 'BEGIN {printf "| %s | %.0f |\n", name, (b - a) / n}'
}

echo "| 1,000 flows | instructions per packet |"
echo "|---|---:|"
row "source alone" plain - plain-60-1000.pcap
row "L2 in->out" plain benches/rules/l2.flows plain-60-1000.pcap
row "Neutron tables" plain benches/rules/neutron.flows plain-60-1000.pcap
row "VXLAN encap" encap benches/rules/encap.flows plain-60-1000.pcap
row "VXLAN decap" decap benches/rules/decap.flows vxlan-60-1000.pcap
