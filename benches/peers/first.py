#!/usr/bin/env python3
"""first.py --build DIR --out DIR: what the first packet of a flow costs, ours and OVS-DPDK's upcall.

Ours is the program `first`. OVS-DPDK gets the same tables and a capture of 100,000 flows; its datapath flows are deleted
before each window. It says itself how long an upcall takes on average (`pmd-perf-show`); a percentile it does not say.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

import threads
from box import Box
from ovs import MODES, Ovs, OvsError

HUGEPAGES = 1160
FLOWS = 100_000
WINDOWS = 8
WINDOW = 0.05
HERE = os.path.dirname(os.path.abspath(__file__))


def ours(program, core):
    said = subprocess.run(["taskset", "-c", str(core), program], capture_output=True, text=True)
    if said.returncode != 0:
        sys.exit(f"first.py: {said.stderr.strip()}")
    return json.loads(said.stdout.splitlines()[-1])


def upcall(ovs):
    """Microseconds of an upcall, mean over windows that each begin without flows; upcalls seen; packets per microsecond."""
    pid = ovs.daemon.pid
    tids = threads.find(pid, "pmd")
    times, count, speeds = [], 0, []
    for _ in range(WINDOWS):
        ovs.appctl("dpif-netdev/pmd-stats-clear")
        ovs.appctl("dpctl/del-flows")
        before, ns_before = ovs._seen(), threads.cpu_ns(pid, tids)
        time.sleep(WINDOW)
        after, ns_after = ovs._seen(), threads.cpu_ns(pid, tids)
        speeds.append((after[0] - before[0]) * 1000 / max(1, ns_after - ns_before))
        found = re.search(r"Upcalls:\s+(\d+)\s+\([^,]*,\s*([0-9.]+) us/upcall", ovs.appctl("dpif-netdev/pmd-perf-show"))
        if found and int(found.group(1)):
            times.append(float(found.group(2)))
            count += int(found.group(1))
    return (statistics.median(times) if times else None), count, statistics.median(speeds)


def peer(ovs, rules, capture):
    ovs.arrange("plain", rules, capture)
    seen = {}
    for mode in MODES:
        ovs.mode(mode)
        # Its polling thread may be another one after that.
        time.sleep(0.8)
        seen[mode] = upcall(ovs)
    return seen


def peers(args, core, tables):
    found = {}
    with Box(f"{args.out}/peers/root", HUGEPAGES) as box:
        if not box.usable or Ovs.program(box) is None:
            print("OVS-DPDK is not here: our figures stand alone", flush=True)
            return found
        ovs = Ovs(box, f"{args.out}/peers/run", core)
        try:
            ovs.start()
            # Without this it does not time upcalls.
            ovs.vsctl("set", "Open_vSwitch", ".", "other_config:pmd-perf-metrics=true")
            for name, rules in tables.items():
                found[name] = peer(ovs, rules, f"{args.out}/in/plain-60-{FLOWS}.pcap")
        except (OvsError, FileNotFoundError) as e:
            print(f"OVS-DPDK: {e}", flush=True)
        finally:
            ovs.stop()
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    args = options.parse_args()
    args.out = os.path.abspath(args.out)
    core, program = max(os.sched_getaffinity(0)), f"{args.build}/first"
    subprocess.run([program, "write", f"{args.out}/in"], check=True)
    rows = ours(program, core)
    theirs = peers(args, core, {"Neutron": f"{HERE}/../rules/neutron.flows", "forty tables": f"{args.out}/in/ovn.flows"})
    print("| tables | first packet, median ns | p99 ns | bar | known packet, median ns | new flows, Mpps | OVS-DPDK upcall, mean ns | upcalls seen | its Mpps after flows were deleted |\n"
          "|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for r in rows:
        modes = {m: s for m, s in theirs.get(r["tables"], {}).items() if s[0]}
        best = min(modes, key=lambda m: modes[m][0], default=None)
        r["ovs_upcall_ns"], r["ovs_upcalls"], r["ovs_mpps"] = (modes[best][0] * 1000, modes[best][1], modes[best][2]) if best else (None, None, None)
        their = f"{r['ovs_upcall_ns']:.0f} | {r['ovs_upcalls']} | {r['ovs_mpps']:.2f}" if best else "- | - | -"
        print(f"| {r['tables']} | {r['first_p50_ns']} | {r['first_p99_ns']} | {r['bar_ns']} | {r['known_p50_ns']} | {r['new_flows_mpps']:.2f} | {their} |")
    with open(f"{args.out}/first.json", "w") as f:
        json.dump(rows, f, indent=1)
    slow = [r["tables"] for r in rows if r["first_p99_ns"] > r["bar_ns"] or r["new_flows_mpps"] < 1]
    if slow:
        sys.exit(f"first packets are too slow: {', '.join(slow)}")


if __name__ == "__main__":
    main()
