#!/usr/bin/env python3
"""render.py OUT DOCS: puts the last run of `make bench-peers` (OUT/peers.json and its plots) into DOCS/performance.md.

Invariant: replaces what stands between the two marks and the two plots, nothing else.
"""

import json
import os
import shutil
import sys

import report

BEGIN, END = "<!-- peers: begin -->\n", "<!-- peers: end -->\n"


def section(run):
    about, small = run["machine"], "short form" if run["short"] else "long form"
    rows = [r for r in run["cells"] if r["ovs_dpdk_best"]]
    bar = lambda r: 1.5 if r["flows"] == 1 else 4 if r["flows"] > 10_000 or r["name"].startswith("Stateful") else 2
    below = [f"{r['name']} with {r['flows']:,} ({report.ratio(r):.2f})" for r in rows if report.ratio(r) < bar(r)]
    missed = f"Below it: {'; '.join(below)}." if below else "None is below it."
    return (f"{about['cpu']}, {about['processors']} processors, {about['mhz']} MHz, Linux {about['kernel']}, peers on "
            f"{about['peer_pages']} pages, {small}. The bar is 1.5 times OVS-DPDK's best mode with one flow, 4 times with state or more than "
            f"10,000 flows, 2 times otherwise. {missed}\n\n" + report.table(run["cells"])
            + "\n* with 200,000 flows, or 100,000 connections: more cannot be fed to it from memory\n")


def main():
    out, docs = sys.argv[1:3]
    with open(f"{out}/peers.json") as f:
        run = json.load(f)
    path = f"{docs}/performance.md"
    with open(path) as f:
        before, rest = f.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(f"{path}.new", "w") as f:
        f.write(before + BEGIN + section(run) + END + after)
    os.replace(f"{path}.new", path)
    for plot in ("mpps", "cycles"):
        shutil.copyfile(f"{out}/{plot}.svg", f"{docs}/performance-{plot}.svg")


if __name__ == "__main__":
    main()
