#!/usr/bin/env python3
"""compare.py --build DIR --out DIR [--short]: our engine and OVS-DPDK in turn, window by window; testpmd beside them.

While one is measured the other stands still, so that neither has to share caches and memory with the other.
"""

import argparse
import os
import statistics
import sys
import time

import report
from box import Box
from cells import SMALL, TUNNELLED, all_cells
from ours import Ours
from ovs import MODES, Ovs, OvsError
from testpmd import Testpmd, TestpmdError

# OVS-DPDK and testpmd, 1 GiB each and a little.
HUGEPAGES = 1160
SETTLE = 0.3


def mpps(window):
    packets, ns = window[0], window[1]
    return packets * 1000 / ns


class Run:
    def __init__(self, args, box, core):
        self.args, self.box, self.core = args, box, core
        self.inputs = f"{args.out}/in"
        self.cell_program = f"{args.build}/cell"
        self.seconds, self.rounds = (0.4, 1) if args.short else (0.6, 3)
        self.ovs = None
        self.testpmd_seen, self.peer_seen, self.source_seen = {}, {}, {}

    def rules(self, cell):
        return "-" if cell.is_source else cell.rules_file(self.inputs)

    def start_ovs(self):
        if not self.box.usable or Ovs.program(self.box) is None:
            print("OVS-DPDK is not here: our figures stand alone", flush=True)
            return
        try:
            self.ovs = Ovs(self.box, f"{self.args.out}/peers/run", self.core)
            self.ovs.start()
            self.ovs.pause()
        except OvsError as e:
            print(f"OVS-DPDK: {e}", flush=True)
            self.ovs = None

    def measure(self, cell):
        """One row of the table."""
        row = {"name": cell.name, "flows": cell.flows, "bytes": cell.bytes}
        with Ours(self.cell_program, self.core, cell.shape, self.rules(cell), cell.source(self.inputs)) as ours:
            mine, theirs = self.in_turn(cell, ours)
        row["ours"] = statistics.median(mine)
        row["ours_range"] = [min(mine), max(mine)]
        best = max(theirs, key=lambda m: statistics.median(theirs[m]), default=None)
        row["ovs_dpdk_best"] = statistics.median(theirs[best]) if best else None
        row["ovs_mode"] = best
        row["ovs_modes"] = {m: statistics.median(w) for m, w in theirs.items()}
        row["ovs_flows"] = cell.peer_flows
        row["testpmd"] = self.testpmd(cell)
        row["source"] = self.source(cell)
        return row

    def in_turn(self, cell, ours):
        mine, theirs = [], {}
        ready = self.arrange(cell)
        for _ in range(self.rounds):
            for mode in MODES:
                mine.append(mpps(ours.window(self.seconds)))
                if not ready:
                    continue
                try:
                    self.ovs.resume()
                    self.ovs.mode(mode)
                    theirs.setdefault(mode, []).append(mpps(self.ovs.window(SETTLE, self.seconds)))
                except OvsError as e:
                    print(f"OVS-DPDK, {cell.name}: {e}", flush=True)
                    ready = False
                finally:
                    self.ovs.pause()
        return mine, theirs

    def arrange(self, cell):
        if self.ovs is None or cell.is_source:
            return False
        try:
            self.ovs.resume()
            self.ovs.arrange(cell.shape, self.rules(cell), f"{self.inputs}/{cell.capture(cell.peer_flows)}", long=cell.size != SMALL)
            self.ovs.check(cell.shape)
            return True
        except OvsError as e:
            print(f"OVS-DPDK, {cell.name}: {e}", flush=True)
            return False
        finally:
            self.ovs.pause()

    def testpmd(self, cell):
        capture = cell.capture(cell.peer_flows)
        if capture not in self.testpmd_seen:
            self.testpmd_seen[capture] = self.run_testpmd(capture)
        return self.testpmd_seen[capture]

    def run_testpmd(self, capture):
        if not self.box.usable or Testpmd.program(self.box) is None:
            return None
        try:
            with Testpmd(self.box, self.core, f"{self.inputs}/{capture}") as t:
                return statistics.median(mpps(t.window(self.seconds)) for _ in range(self.rounds))
        except TestpmdError as e:
            print(f"testpmd, {capture}: {e}", flush=True)
            return None

    def source(self, cell):
        """Our source with no switch behind it."""
        source = cell.source(self.inputs)
        key = (source, cell.shape in TUNNELLED)
        if key not in self.source_seen:
            with Ours(self.cell_program, self.core, cell.shape, "-", source) as alone:
                self.source_seen[key] = statistics.median(mpps(alone.window(self.seconds)) for _ in range(self.rounds))
        return self.source_seen[key]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--short", action="store_true")
    options.add_argument("--only", action="append", help="cells whose name begins so; may be given again")
    options.add_argument("--flows", type=int, action="append", help="cells of so many flows; may be given again")
    options.add_argument("--bytes", type=int, help="cells with frames of this length only")
    args = options.parse_args()
    args.out = os.path.abspath(args.out)
    core = max(os.sched_getaffinity(0))
    begins = tuple(args.only or [""])
    cells = [c for c in all_cells(args.short, f"{args.out}/in")
             if c.name.startswith(begins) and args.bytes in (None, c.bytes) and (not args.flows or c.flows in args.flows)]
    rows, begin = [], time.time()
    with Box(f"{args.out}/peers/root", HUGEPAGES) as box:
        run = Run(args, box, core)
        run.start_ovs()
        try:
            for i, cell in enumerate(cells):
                rows.append(run.measure(cell))
                print(f"[{i + 1}/{len(cells)}, {time.time() - begin:.0f} s] {report.line(rows[-1])}", flush=True)
        finally:
            # What was measured before an interrupt is worth keeping.
            if rows:
                report.write(args.out, rows, pages="2 MiB" if box.hugepages else "4 KiB", short=args.short)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; everything that was started is gone")
