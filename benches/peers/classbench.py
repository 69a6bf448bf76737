#!/usr/bin/env python3
"""classbench.py --build DIR --out DIR [--only NAME] [--within SECONDS]: ClassBench sets on our engine and on OVS-DPDK, same rules, same headers.

Look-ups of the compiled tables alone stand beside: nothing else of a packet is done there. Sets come from
$SLUICE_SHARED/classbench (default ../shared); without them this says so and ends well.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from box import Box
from compare import HUGEPAGES, SETTLE, mpps
from ours import Ours, OursError
from ovs import MODES, Ovs, OvsError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = 0.5


def sets(args):
    folder = os.environ.get("SLUICE_SHARED", f"{ROOT}/../shared") + "/classbench"
    if not os.path.isdir(folder):
        print(f"skipped: no rule sets in {folder} (set SLUICE_SHARED)")
        return []
    out = f"{args.out}/classbench"
    if not os.path.exists(f"{out}/fw1_10000.pcap"):
        subprocess.run([f"{args.build}/classify", "sets", folder, out], check=True, stdout=subprocess.DEVNULL)
    names = sorted(n[:-6] for n in os.listdir(out) if n.endswith(".flows"))
    return [n for n in names if args.only in n]


def tables(args, name):
    """The compiled tables alone."""
    files = [f"{args.out}/classbench/{name}.flows", f"{args.out}/classbench/{name}.pcap"]
    done = subprocess.run([f"{args.build}/classify", *files], text=True, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def in_turn(args, ovs, core, name):
    rules, capture = f"{args.out}/classbench/{name}.flows", f"{args.out}/classbench/{name}.pcap"
    mine, theirs = [], {}
    with Ours(f"{args.build}/cell", core, "plain", rules, capture) as ours:
        for mode in MODES:
            mine.append(mpps(ours.window(SECONDS)))
            if ovs is None:
                continue
            try:
                ovs.resume()
                if not theirs:
                    ovs.arrange("plain", rules, capture)
                ovs.mode(mode)
                theirs[mode] = mpps(ovs.window(4 * SETTLE, 2 * SECONDS))
            except OvsError as e:
                print(f"OVS-DPDK, {name}: {e}", flush=True)
            finally:
                ovs.pause()
    return statistics.median(mine), max(theirs.values(), default=None)


HEAD = ("| set | rules | masks | tables | look-up ns | Mlookups/s | update us | bytes/rule | Sluice Mpps | OVS-DPDK Mpps | ratio |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--only", default="")
    options.add_argument("--within", type=float, default=3600, help="seconds after which no further set is begun")
    args = options.parse_args()
    args.out = os.path.abspath(args.out)
    core, rows, begin = max(os.sched_getaffinity(0)), [], time.monotonic()
    with Box(f"{args.out}/peers/root", HUGEPAGES) as box:
        ovs = None
        if box.usable and Ovs.program(box) is not None:
            try:
                ovs = Ovs(box, f"{args.out}/peers/run", core)
                ovs.start()
                ovs.pause()
            except OvsError as e:
                print(f"OVS-DPDK: {e}", flush=True)
                ovs = None
        print(HEAD, flush=True)
        for name in sets(args):
            if time.monotonic() - begin > args.within:
                print(f"left out, the time is over: {name}", flush=True)
                continue
            row = tables(args, name)
            try:
                row["ours"], row["ovs_dpdk_best"] = in_turn(args, ovs, core, name)
            except OursError as e:
                sys.exit(f"classbench.py: {name}: {e}")
            rows.append({"name": name, **row})
            show = lambda v, digits=1: f"{v:.{digits}f}" if v else "-"
            times = row["ours"] / row["ovs_dpdk_best"] if row["ovs_dpdk_best"] else None
            print(f"| {name} | {row['rules']:,} | {row['masks']:,} | {row['tables']} | {row['lookup_ns']:.0f} "
                  f"| {show(1000 / row['lookup_ns'])} | {show(row['update_ns'] / 1000)} | {row['bytes_per_rule']} "
                  f"| {show(row['ours'])} | {show(row['ovs_dpdk_best'], 2)} | {show(times)} |", flush=True)
            with open(f"{args.out}/classbench.json", "w") as f:
                json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
