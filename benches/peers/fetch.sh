#!/bin/sh
# fetch.sh DIR: unpacks OVS-DPDK and testpmd from Debian's packages into DIR/root. Nothing is installed.
# Prints one line for each of them that cannot be had; that is no failure.
set -eu

mkdir -p "$1"
dir=$(cd "$1" && pwd)
root=$dir/root
[ -e "$dir/complete" ] && exit 0
mkdir -p "$dir/deb" "$root"

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "no apt-get here: our figures stand alone"
    exit 0
fi
if [ -z "$(apt-cache madison openvswitch-switch-dpdk 2>/dev/null)" ]; then
    apt-get update -qq >/dev/null 2>&1 || true
fi

get() { # packages: those that are not there yet, unpacked
    cd "$dir/deb"
    for p in "$@"; do
        [ -e "$p.done" ] && continue
        if apt-get download -qq "$p" >/dev/null 2>&1; then
            dpkg -x "$p"_*.deb "$root"
            touch "$p.done"
        else
            echo "cannot download $p"
        fi
    done
}

# What apt would install beside the package itself: only what this machine lacks.
lacking() {
    apt-get install -s --no-install-recommends "$@" 2>/dev/null | awk '/^Inst /{print $2}'
}

# shellcheck disable=SC2046
get $(lacking openvswitch-switch-dpdk librte-net-pcap23 librte-net-null23 librte-net-virtio23 librte-mempool-ring23 librte-bus-vdev23)

# testpmd: its package wants half a build environment, its program a few libraries, named by what is missing.
get dpdk-dev
rounds=0
while [ $rounds -lt 6 ]; do
    missing=$(LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu ldd "$root/usr/bin/dpdk-testpmd" \
        "$root"/usr/lib/x86_64-linux-gnu/librte_*.so.* 2>/dev/null | awk '/not found/{print $1}' | sort -u)
    [ -z "$missing" ] && break
    packages=""
    for library in $missing; do
        case $library in
        libmlx?.so.*) packages="$packages ibverbs-providers" ;;
        libibverbs.so.1) packages="$packages libibverbs1" ;;
        librte_*) packages="$packages $(echo "$library" | sed -e 's/_/-/g' -e 's/\.so\.//' -e 's/mlx523$/mlx5-23/')" ;;
        *) packages="$packages $(echo "$library" | sed -E 's/([0-9])\.so\./\1-/; s/\.so\.//; s/_/-/g')" ;;
        esac
    done
    # shellcheck disable=SC2086
    get $packages
    rounds=$((rounds + 1))
done
rm -f "$dir"/deb/*.deb
touch "$dir/complete"
