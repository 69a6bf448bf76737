#!/bin/sh
# need.sh test|demo|bench|conformance|gate: installs what that target needs, or says in one line what is missing.
set -eu

missing=""
want() { # command package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

want cargo "rust (https://rustup.rs)"
want gcc gcc
want python3 python3
case "$missing" in *rust*) echo "missing: Rust; get it from https://rustup.rs" >&2; exit 1;; esac

case "$1" in
test) want ovs-ofctl openvswitch-switch; want ip iproute2; want zstd zstd; want ping iputils-ping
    want iperf3 iperf3; want curl curl; want socat socat; want traceroute traceroute
    want vsftpd vsftpd; want ethtool ethtool; want lftp lftp; want in.tftpd tftpd-hpa ;;
demo) want ip iproute2; want ping iputils-ping; want ps procps ;;
bench) want ip iproute2; want zstd zstd ;;
conformance) want ip iproute2; want ping iputils-ping; want ethtool ethtool; want tcpdump tcpdump; want nc netcat-openbsd
    want ovs-ofctl openvswitch-switch
    python3 -c "import ensurepip" 2>/dev/null || missing="$missing python3-venv" ;;
vhost) want ip iproute2; want qemu-system-x86_64 qemu-system-x86; want busybox busybox-static; want iperf3 iperf3 ;;
gate) want valgrind valgrind; want git git ;;
*) echo "usage: need.sh test|demo|bench|conformance|gate" >&2; exit 2 ;;
esac

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    # Services must not start by themselves on a build machine.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif [ "$1" = test ]; then
    echo "not installed:$missing; tests that need them say that they skip (as root: apt-get install$missing)" >&2
else
    echo "missing:$missing; install them (as root: apt-get install$missing) and try again" >&2
    [ "$1" = demo ] || exit 1
fi
