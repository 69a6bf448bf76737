#!/bin/bash
# under-systemd.sh BUILD-DIRECTORY
#
# The unit under a real systemd, in namespaces of its own: Debian's ovsdb-server.service and
# openvswitch-switch.service with our ovs-vswitchd.service; started, reloaded, killed, stopped. Needs root,
# systemd and openvswitch-switch. The host's own files, units and devices are not touched.
set -euo pipefail

build=$(realpath "${1:?the directory with sluiced and sluice}")
here=$(realpath "$(dirname "$0")")

# Directories that it gets of its own.
private="/run /tmp /var/tmp /var/log /var/lib/systemd /var/lib/openvswitch /etc/systemd/system /etc/openvswitch"

# What a starting systemd writes, removes or sets must not reach the host: everything is read-only but
# directories of our own in memory. Whatever is still writable ends this before systemd begins.
enclose() {
    mount --make-rprivate /
    mount -t proc proc /proc
    for dir in $private; do
        [ -d "$dir" ] || { echo "under-systemd: there is no $dir"; exit 1; }
        mount -t tmpfs tmpfs "$dir" -o mode=755
    done
    chmod 1777 /tmp /var/tmp
    mount --bind /proc/sys /proc/sys
    # The deepest last: each mount gets its own flag; cgroups stay as systemd needs them.
    findmnt -rno TARGET | while read -r target; do
        case $target in
        /run | /tmp | /var/tmp | /var/log | /var/lib/systemd | /var/lib/openvswitch | /etc/systemd/system | /etc/openvswitch) ;;
        # Hidden by ours.
        /run/* | /tmp/* | /var/tmp/* | /var/log/*) ;;
        /proc | /sys/fs/cgroup*) ;;
        *) mount -o remount,bind,ro "$target" ;;
        esac
    done
    for dir in / /etc /usr /var /var/lib /root /home /opt /srv /dev /dev/shm /proc/sys/kernel "$here" "$build"; do
        [ -w "$dir" ] || continue
        if (: > "$dir/.under-systemd-probe") 2>/dev/null; then
            rm -f "$dir/.under-systemd-probe"
            echo "under-systemd: $dir could still be written; not started"
            exit 1
        fi
    done
    for dir in $private; do
        case " $HOST_DEVICES " in
        *" $(stat -c '%d:%i' "$dir") "*) echo "under-systemd: $dir is the host's; not started"; exit 1 ;;
        esac
    done
    mkdir -p /run/lock /run/openvswitch /run/netns /var/log/openvswitch
    # What prepares a real machine has no business here.
    for unit in systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-tmpfiles-clean systemd-sysctl systemd-udevd systemd-udev-trigger \
        systemd-remount-fs systemd-modules-load systemd-random-seed systemd-journald systemd-journal-flush systemd-update-utmp \
        systemd-binfmt kmod-static-nodes console-getty dbus; do
        ln -s /dev/null "/etc/systemd/system/$unit.service"
    done
}

if [ "${2:-}" = inside ]; then
    enclose
    [ "${3:-}" = probe ] && { echo "under-systemd: enclosed"; exit 0; }
    sed "s#/usr/sbin/sluiced#$build/sluiced#; s#/usr/bin/sluice #$build/sluice #" "$here/ovs-vswitchd.service" > /etc/systemd/system/ovs-vswitchd.service
    exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target
fi

for program in /lib/systemd/systemd systemctl nsenter ovs-vsctl; do
    command -v "$program" >/dev/null || { echo "under-systemd: SKIPPED, $program is not here (apt-get install systemd openvswitch-switch)"; exit 0; }
done

# shellcheck disable=SC2086 # several words
HOST_DEVICES=$(stat -c '%d:%i' $private | xargs)
export HOST_DEVICES
apart=(unshare --fork --pid --mount --uts --ipc --net --cgroup --kill-child=KILL "$0" "$build" inside)
"${apart[@]}" probe || exit 1
"${apart[@]}" >/dev/null 2>&1 &
keeper=$!
trap 'kill -9 $keeper 2>/dev/null; wait $keeper 2>/dev/null || true' EXIT
init=
for _ in $(seq 100); do
    init=$(pgrep -P $keeper -x systemd || true)
    [ -n "$init" ] && break
    sleep 0.1
done
[ -n "$init" ] || { echo "under-systemd: systemd does not start in namespaces here"; exit 1; }
at() { nsenter -t "$init" -m -p -u -i -n -C "$@"; }
until_true() { # WHAT COMMAND...
    what=$1; shift
    for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
    echo "under-systemd: FAILED: $what"; at systemctl status --no-pager ovs-vswitchd.service || true; at cat /var/log/openvswitch/ovs-vswitchd.log || true; exit 1
}
pid() { at systemctl show -p MainPID --value ovs-vswitchd.service; }

until_true "systemd runs" at systemctl list-units
at systemctl start openvswitch-switch.service
until_true "the unit is active" at systemctl is-active ovs-vswitchd.service
at ovs-vsctl --timeout=20 add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 int0 -- set interface int0 type=internal
at ip addr add 192.0.2.1/24 dev int0
echo "started: $(at ovs-vsctl --timeout=5 get Open_vSwitch . cur_cfg) configurations in force, pid $(pid)"

at mv /var/log/openvswitch/ovs-vswitchd.log /var/log/openvswitch/old.log
at systemctl reload ovs-vswitchd.service
until_true "the log is opened anew" at test -s /var/log/openvswitch/ovs-vswitchd.log
echo "reloaded"

first=$(pid)
at kill -9 "$first"
restarted() { [ "$(pid)" != "$first" ] && [ "$(pid)" != 0 ] && at systemctl is-active ovs-vswitchd.service; }
until_true "it is started again after kill -9" restarted
until_true "it serves again" at ovs-ofctl show br0
at ip -br addr show int0 | grep -q 192.0.2.1/24
echo "killed: started again as pid $(pid), devices and addresses stayed"

at systemctl stop ovs-vswitchd.service
[ "$(at systemctl is-active ovs-vswitchd.service || true)" = inactive ]
at ip link show int0 >/dev/null
at systemctl restart openvswitch-switch.service
until_true "a restart of Open vSwitch starts it" at ovs-vsctl --timeout=5 add-port br0 int1 -- set interface int1 type=internal
at systemctl stop openvswitch-switch.service
until_true "it stops with Open vSwitch" sh -c "! nsenter -t $init -m -p -u -i -n -C systemctl is-active ovs-vswitchd.service"
at grep -E '\|(WARN|ERR|EMER)\|' /var/log/openvswitch/ovs-vswitchd.log | grep -v 'the switch goes on as it is' && { echo "under-systemd: FAILED: the log complains"; exit 1; }
echo "stopped: ok"
