#!/bin/bash
# Records the captures in captures/ anew, between two network namespaces that exist for that long.
#
# Needs root, iproute2, tcpdump, ping, ethtool and python3. Afterwards update manifest.toml:
# a recording has new identifiers and sequence numbers, and so a new hash.
set -euo pipefail
cd "$(dirname "$0")"

A=slfx$$a
B=slfx$$b
OUT=captures
LOG=$(mktemp)
DUMP=

clean_up() {
    [ -z "$DUMP" ] || kill "$DUMP" 2>/dev/null || true
    ip netns del "$A" 2>/dev/null || true
    ip netns del "$B" 2>/dev/null || true
    rm -f "$LOG"
}
trap clean_up EXIT

in_a() { ip netns exec "$A" "$@"; }
in_b() { ip netns exec "$B" "$@"; }

# Starts a capture of device $1 in namespace A to file $2, and returns when it listens.
start() {
    : > "$LOG"
    ip netns exec "$A" tcpdump -i "$1" -U --immediate-mode -w "$OUT/$2" 2> "$LOG" &
    DUMP=$!
    until grep -q 'listening on' "$LOG"; do
        kill -0 "$DUMP" || { cat "$LOG"; exit 1; }
        read -rt 0.05 < <(:) || true
    done
}

stop() {
    sleep 0.5 # what is still in the kernel's ring
    kill -INT "$DUMP"
    wait "$DUMP" || true
    DUMP=
}

forget_neighbours() {
    in_a ip neigh flush all
    in_b ip neigh flush all
}

offload() {
    in_a ethtool -K wire tx "$1" tso "$1" gso "$1" gro "$1" > /dev/null
    in_b ethtool -K wire tx "$1" tso "$1" gso "$1" gro "$1" > /dev/null
}

# One connection of $1 bytes from A to address $2 in B.
tcp_connection() {
    in_b python3 -c '
import socket, sys
s = socket.create_server((sys.argv[1], 7777), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
c, _ = s.accept()
while c.recv(65536): pass
' "$2" > "$LOG.ready" &
    local server=$!
    until grep -q ready "$LOG.ready"; do read -rt 0.05 < <(:) || true; done
    in_a python3 -c '
import socket, sys
c = socket.create_connection((sys.argv[2], 7777))
c.sendall(bytes(int(sys.argv[1])))
c.close()
' "$1" "$2"
    wait "$server"
    rm -f "$LOG.ready"
}

ip netns add "$A"
ip netns add "$B"
ip link add wire address 02:00:00:00:0a:01 netns "$A" type veth peer name wire address 02:00:00:00:0b:01 netns "$B"
in_a ip addr add 10.11.0.1/24 dev wire
in_b ip addr add 10.11.0.2/24 dev wire
in_a ip addr add 2001:db8:11::1/64 dev wire nodad
in_b ip addr add 2001:db8:11::2/64 dev wire nodad
for ns in "$A" "$B"; do
    ip netns exec "$ns" sysctl -qw net.ipv6.conf.wire.accept_dad=0 net.ipv6.conf.wire.router_solicitations=0
    ip netns exec "$ns" ip link set lo up
    ip netns exec "$ns" ip link set wire up
done
offload off

start wire ping-arp.pcap
forget_neighbours
in_a ping -q -c 2 -i 0.2 10.11.0.2
stop

start wire ping-nd.pcap
forget_neighbours
in_a ping -q -6 -c 2 -i 0.2 2001:db8:11::2
stop

start wire tcp-plain.pcap
tcp_connection 3000 10.11.0.2
tcp_connection 3000 2001:db8:11::2
stop

offload on
start wire tcp-offload.pcap
tcp_connection 8000 10.11.0.2
stop
offload off

start wire fragments.pcap
in_a ping -q -c 1 -s 4000 10.11.0.2
in_a ping -q -6 -c 1 -s 4000 2001:db8:11::2
stop

# The overlay's own IPv6 chatter is not wanted in the capture.
for ns in "$A" "$B"; do ip netns exec "$ns" sysctl -qw net.ipv6.conf.default.disable_ipv6=1; done
in_a ip link add overlay address 02:00:00:00:0a:77 type vxlan id 77 local 10.11.0.1 remote 10.11.0.2 dstport 4789
in_b ip link add overlay address 02:00:00:00:0b:77 type vxlan id 77 local 10.11.0.2 remote 10.11.0.1 dstport 4789
in_a ip addr add 10.77.0.1/24 dev overlay
in_b ip addr add 10.77.0.2/24 dev overlay
in_a ip link set overlay up
in_b ip link set overlay up
start wire vxlan.pcap
in_a ping -q -c 1 10.77.0.2
tcp_connection 100 10.77.0.2
stop

sha256sum "$OUT"/*.pcap
