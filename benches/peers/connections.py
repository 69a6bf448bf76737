#!/usr/bin/env python3
"""connections.py --build DIR --out DIR: new connections per second of CPU time, ours and OVS-DPDK in turn.

The same SYNs, each of a connection of its own, through the same stateful Neutron tables into an empty table of
connections. OVS-DPDK repeats a capture from memory, so its table is flushed before each window and the window
ends before the capture has been through once.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import time

import threads
from box import Box
from ovs import MODES, Ovs, OvsError

HUGEPAGES = 640
FRAMES = 200_000
# A window ends at the latest with this many: what comes again is not new.
MOST = 190_000
WINDOWS = 5
# Flushing disturbs whoever polls for a while.
SETTLE = 0.06
WINDOW = 0.08
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


def connections(ovs):
    return int(re.search(r"\d+", ovs.appctl("dpctl/ct-get-nconns")).group())


def window(ovs):
    """Connections that were opened for a second of CPU time; none when the capture came round."""
    pid = ovs.daemon.pid
    tids = threads.find(pid, "pmd")
    ovs.appctl("dpctl/flush-conntrack")
    time.sleep(SETTLE)
    before, ns_before = connections(ovs), threads.cpu_ns(pid, tids)
    time.sleep(WINDOW)
    after, ns_after = connections(ovs), threads.cpu_ns(pid, tids)
    if not before < after < MOST:
        return None
    return (after - before) * 1e9 / (ns_after - ns_before)


def peer(ovs, mode):
    ovs.resume()
    try:
        ovs.mode(mode)
        time.sleep(0.5)
        seen = [w for w in (window(ovs) for _ in range(2 * WINDOWS)) if w][:WINDOWS]
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
