#!/usr/bin/env python3
"""connections.py --build DIR --out DIR: new connections per second of CPU time, ours and OVS-DPDK in turn.

The same SYNs, each of a connection of its own, through the same stateful Neutron tables into an empty table of
connections. OVS-DPDK repeats a capture from memory. While one rule drops all of it, its table is flushed and what was
in it is freed; then that rule goes, and what counts is the stretch in which every frame is a new connection: births
alone, no deaths, and no frame a second time.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import time

import threads
from box import Box
from ovs import MODES, Ovs, OvsError

HUGEPAGES = 640
FRAMES = 200_000
# Connections between which the rate is taken: all packets are new there, and the capture has not come round.
FIRST, LAST = 30_000, 150_000
WINDOWS = 5
# What was flushed is freed by another thread, which would disturb.
SETTLE = 0.4
SAMPLE = 0.002
PATIENCE = 5
CLOSED = "priority=65535,in_port=3"
SOURCE = 3


def ours(program, core):
    """Into an empty table, and into a full one."""
    said = subprocess.run(["taskset", "-c", str(core), program, "new"], check=True, capture_output=True, text=True).stdout
    seen = json.loads(said.splitlines()[-1])
    return seen["empty"], seen["full"]


def arrange(ovs, rules, capture):
    ovs.clear()
    ovs.bridge("br0")
    ovs.ofctl("--bundle", "add-flows", "br0", rules)
    ovs.sink("br0", 1)
    ovs.sink("br0", 2)
    ovs.source("br0", SOURCE, capture)


def started(ovs, rules, capture):
    try:
        ovs.start()
        arrange(ovs, rules, capture)
        ovs.pause()
        return True
    except OvsError as e:
        print(f"OVS-DPDK: {e}", flush=True)
        return False


class Control:
    """The daemon's control socket, kept open: starting a program for each question would take longer than a window."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)

    def ask(self, method):
        self.socket.sendall(json.dumps({"id": 0, "method": method, "params": []}).encode())
        heard = b""
        while True:
            part = self.socket.recv(65536)
            if not part:
                raise OvsError(f"{method}: the daemon hung up")
            heard += part
            try:
                return json.loads(heard)["result"]
            except json.JSONDecodeError:
                pass

    def connections(self):
        return int(self.ask("dpctl/ct-get-nconns"))


def window(ovs, control, tids):
    """Connections that were opened for a second of CPU time; none when there were too few."""
    ovs.ofctl("add-flow", "br0", f"{CLOSED},actions=drop")
    time.sleep(SETTLE)
    control.ask("dpctl/flush-conntrack")
    time.sleep(SETTLE)
    ovs.ofctl("--strict", "del-flows", "br0", CLOSED)
    end, seen = time.time() + PATIENCE, []
    while time.time() < end:
        seen.append((control.connections(), threads.cpu_ns(ovs.daemon.pid, tids)))
        if seen[-1][0] >= LAST:
            break
        time.sleep(SAMPLE)
    seen = [s for s in seen if s[0] >= FIRST]
    if len(seen) < 2 or seen[-1][0] < (FIRST + LAST) / 2 or seen[-1][1] <= seen[0][1]:
        return None
    return (seen[-1][0] - seen[0][0]) * 1e9 / (seen[-1][1] - seen[0][1])


def peer(ovs, mode):
    ovs.resume()
    try:
        ovs.mode(mode)
        control, tids = Control(f"{ovs.dir}/vswitchd.ctl"), threads.find(ovs.daemon.pid, "pmd")
        time.sleep(0.5)
        seen = [w for w in (window(ovs, control, tids) for _ in range(WINDOWS)) if w]
        return statistics.median(seen) if seen else None
    finally:
        ovs.pause()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    args = options.parse_args()
    out, program, core = os.path.abspath(args.out), f"{args.build}/connections", max(os.sched_getaffinity(0))
    os.makedirs(f"{out}/in", exist_ok=True)
    rules, capture = f"{out}/in/connections.flows", f"{out}/in/syn-60-{FRAMES}.pcap"
    subprocess.run([program, "write", rules, capture, str(FRAMES)], check=True)
    mine, theirs = [], {}
    with Box(f"{out}/peers/root", HUGEPAGES) as box:
        ovs = Ovs(box, f"{out}/peers/run", core) if box.usable and Ovs.program(box) else None
        try:
            ready = ovs is not None and started(ovs, rules, capture)
            for mode in MODES:
                mine.append(ours(program, core))
                if ready:
                    theirs[mode] = peer(ovs, mode)
        finally:
            if ovs:
                ovs.stop()
    report(mine, {m: n for m, n in theirs.items() if n})


def report(mine, theirs):
    empty, full = (statistics.median(m[i] for m in mine) for i in (0, 1))
    best = max(theirs, key=theirs.get, default=None)
    line = {"empty": empty, "full": full, "ovs_dpdk": theirs, "ratio": empty / theirs[best] if best else None}
    peer_says = f"OVS-DPDK ({best}) {theirs[best] / 1e3:.0f} k, ratio {line['ratio']:.2f}" if best else "no OVS-DPDK beside it"
    print(f"new connections per second of CPU time: {empty / 1e3:.0f} k into an empty table, {full / 1e3:.0f} k into a full one; {peer_says}")
    print(json.dumps(line))


if __name__ == "__main__":
    main()
