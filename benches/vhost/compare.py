#!/usr/bin/env python3
"""compare.py --build DIR --out DIR [--short]: two guests through each switch in turn; busy cycles per packet.

The generator is slower than a fast switch, so rates say little: what counts is the work per packet.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, f"{HERE}/../peers"]

from box import Box
from guests import Guests, GuestsError
from ovs import MODES, Ovs, OvsError
from switches import OvsDpdk, Sluice, SwitchError, measure
import report
import threads

HUGEPAGES = 900
SPLIT = "queue_size=1024"
NO_MERGE = "queue_size=1024,in_order=1,mrg_rxbuf=0"
PACKED = "queue_size=1024,packed_vq=1"
PACKED_NO_MERGE = "queue_size=1024,packed_vq=1,in_order=1,mrg_rxbuf=0"

# name, ring, capture, rules
CELLS = (
    ("split", SPLIT, "plain-60-1", "l2"),
    ("split, not mergeable", NO_MERGE, "plain-60-1", "l2"),
    ("packed", PACKED, "plain-60-1", "l2"),
    ("packed, not mergeable", PACKED_NO_MERGE, "plain-60-1", "l2"),
    ("split, 10 k flows", SPLIT, "plain-60-10000", "l2"),
    ("split, 1500 B", SPLIT, "plain-1514-1", "l2"),
    ("packed, 1500 B", PACKED, "plain-1514-1", "l2"),
    ("split, Neutron, 10 k flows", SPLIT, "plain-60-10000", "neutron"),
)


class Run:
    def __init__(self, args, box, cores):
        self.args, self.box, (self.guest_core, self.core) = args, box, cores
        self.mhz = report.machine("")["mhz"]
        self.seconds, self.rounds = (0.4, 2) if args.short else (1.0, 3)
        self.log = open(f"{args.out}/vhost-testpmd.log", "wb")

    def guests(self, switch, ring, capture):
        return Guests(self.box, self.guest_core, f"{self.args.out}/vhost/{switch.name}", f"{self.args.out}/in/{capture}.pcap", ring, self.log)

    def cell(self, switch, ring, capture, rules):
        """Median of cycles, their range, and what share of A's packets arrived; best mode of the peer."""
        best = None
        try:
            switch.resume()
            switch.rules(f"{HERE}/../rules/{rules}.flows")
            with self.guests(switch, ring, capture) as guests:
                guests.wait_for_traffic()
                guests.hurry()
                threads.hurry(*switch.workers())
                for mode in self.modes(switch, capture):
                    seen = self.windows(switch, guests, mode)
                    if best is None or seen["cycles"] < best["cycles"]:
                        best = seen
        except (OvsError, SwitchError, GuestsError, subprocess.CalledProcessError) as e:
            print(f"{switch.name}: {e}", flush=True)
        finally:
            switch.pause()
        return best

    @staticmethod
    def modes(switch, capture):
        if not isinstance(switch, Ovs):
            return [None]
        return list(MODES) if "10000" in capture else ["default"]

    def windows(self, switch, guests, mode):
        if mode:
            switch.mode(mode)
            time.sleep(0.3)
        windows, before = [], guests.counts()
        for _ in range(self.rounds):
            windows.append(measure(switch, self.seconds, self.mhz))
        sent, received = (b - a for a, b in zip(before, guests.counts()))
        cycles = [w.cycles for w in windows]
        return {"cycles": statistics.median(cycles), "range": [min(cycles), max(cycles)], "mode": mode,
                "busy": statistics.median(w.share for w in windows), "arrived": received / max(1, sent)}


def line(name, seen):
    text = f"{name:28}"
    for who in ("Sluice", "OVS-DPDK"):
        s = seen.get(who)
        cell = f"{s['cycles']:5.0f} ({s['range'][0]:.0f}-{s['range'][1]:.0f})" if s else "    -"
        text += f" {who} {cell:18}"
    ours, theirs = seen.get("Sluice"), seen.get("OVS-DPDK")
    return text + (f" {ours['cycles'] / theirs['cycles']:.2f}" if ours and theirs else " -")


def table(rows):
    out = ("| guests' rings, load | Sluice | OVS-DPDK best | its mode | ratio | busy | arrived |\n|---|---:|---:|---|---:|---:|---:|\n")
    for name, seen in rows:
        a, b = seen.get("Sluice"), seen.get("OVS-DPDK")
        cycles = lambda s: f"{s['cycles']:.0f}" if s else "-"
        ratio = f"{a['cycles'] / b['cycles']:.2f}" if a and b else "-"
        both = lambda key: " / ".join(f"{100 * s[key]:.0f} %" if s else "-" for s in (a, b))
        out += f"| {name} | {cycles(a)} | {cycles(b)} | {b['mode'] if b else '-'} | {ratio} | {both('busy')} | {both('arrived')} |\n"
    return out


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--short", action="store_true")
    options.add_argument("--only", default="", help="cells whose name begins so")
    args = options.parse_args()
    args.out = os.path.abspath(args.out)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or os.geteuid() != 0:
        sys.exit("bench-vhost needs root and two processors: one for the guests, one for the switch")
    rows, begin = [], time.time()
    with Box(f"{args.out}/peers/root", HUGEPAGES, mount=True) as box:
        run = Run(args, box, (cores[0], cores[-1]))
        switches = [Sluice(box, f"{args.build}/sluiced", f"{args.out}/vhost/run", cores[-1])]
        if OvsDpdk.program(box):
            switches.append(OvsDpdk(box, f"{args.out}/vhost/ovs", cores[-1]))
        else:
            print("OVS-DPDK is not here: our figures stand alone", flush=True)
        print("VPP is in no package here: build it and see docs/performance.md to compare", flush=True)
        for switch in switches:
            switch.start([f"{args.out}/vhost/{switch.name}/v{x}.sock" for x in "AB"])
        try:
            for name, ring, capture, rules in CELLS:
                if not name.startswith(args.only):
                    continue
                seen = {s.name: self_cell for s in switches if (self_cell := run.cell(s, ring, capture, rules))}
                rows.append((name, seen))
                print(f"[{time.time() - begin:.0f} s] {line(name, seen)}", flush=True)
        finally:
            for switch in switches:
                switch.resume()
                switch.stop()
            if rows:
                about = report.machine("2 MiB" if box.hugepages else "4 KiB")
                with open(f"{args.out}/vhost.json", "w") as f:
                    json.dump({"machine": about, "rows": rows}, f, indent=1)
                text = f"Busy cycles per packet, guest to guest, {about}\n\n{table(rows)}"
                with open(f"{args.out}/vhost.md", "w") as f:
                    f.write(text)
                print("\n" + text, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; everything that was started is gone")
