#!/usr/bin/env python3
"""attack.py --build DIR --out DIR: what victims keep beside an attacker, ours and OVS-DPDK.

Ours is the program `attack`, which prints its own figures. OVS-DPDK gets the same rules and frames: victims at port 1, the
attacker at port 3, one polling thread for both, which takes as many frames of either. Beside each attack stands the same
rig with an attacker that sends plain traffic, measured in turn. Its tables of flows are emptied before each window, as an
attack has to begin somewhere; its connections and addresses stay.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import threads
from box import Box
from ovs import Ovs, OvsError

HUGEPAGES = 1160
SETTLE, WINDOW = 0.8, 0.6
VICTIMS, SINK, ATTACKER = 1, 2, 3
KEPT = 0.8
PLAIN = "plain-established-traffic"


def ours(program, core):
    """The program's own table goes out as it is; its last line is what it says in JSON."""
    done = subprocess.run(["taskset", "-c", str(core), program], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if not lines:
        sys.exit(f"attack.py: {program}: {done.stderr.strip()}")
    return json.loads(lines[-1]), done.returncode, done.stderr.strip()


class Rig:
    """OVS-DPDK with one attack's rules."""

    def __init__(self, ovs, inputs, victims):
        self.ovs, self.inputs, self.victims = ovs, inputs, victims

    def arrange(self, attack, attacker):
        self.ovs.clear()
        self.ovs.bridge("br0")
        self.ovs.ofctl("--bundle", "add-flows", "br0", f"{self.inputs}/{attack}.flows")
        self.ovs.sink("br0", SINK)
        self.ovs.source("br0", VICTIMS, self.victims)
        self.ovs.source("br0", ATTACKER, f"{self.inputs}/{attacker}.pcap")

    def window(self):
        """Packets of the victims per microsecond of CPU time."""
        pid = self.ovs.daemon.pid
        self.ovs.appctl("dpctl/del-flows")
        time.sleep(SETTLE)
        # Ports that were just added may have made it start another one.
        tids = threads.find(pid, "pmd")
        before, ns_before = self.ovs._packets("br0", VICTIMS, "rx"), threads.cpu_ns(pid, tids)
        time.sleep(WINDOW)
        after, ns_after = self.ovs._packets("br0", VICTIMS, "rx"), threads.cpu_ns(pid, tids)
        if ns_after <= ns_before:
            raise OvsError("its polling thread stood still")
        return (after - before) * 1000 / (ns_after - ns_before)


def again(window):
    """A polling thread may end while it is looked at, but not each time."""
    try:
        return window()
    except FileNotFoundError:
        return window()


def peer(rig, attack, rounds):
    """Beside plain traffic, and beside the attack."""
    seen = {PLAIN: [], attack: []}
    for _ in range(rounds):
        for attacker, windows in seen.items():
            rig.arrange(attack, attacker)
            windows.append(again(rig.window))
    return tuple(statistics.median(w) for w in seen.values())


def peers(args, core, attacks):
    """By attack; empty where OVS-DPDK cannot run."""
    inputs, found = f"{args.out}/in/attack", {}
    subprocess.run([f"{args.build}/attack", "captures", inputs], check=True)
    with Box(f"{args.out}/peers/root", HUGEPAGES) as box:
        if not box.usable or Ovs.program(box) is None:
            print("OVS-DPDK is not here: our figures stand alone", flush=True)
            return found
        ovs = Ovs(box, f"{args.out}/peers/run", core)
        try:
            ovs.start()
            rig = Rig(ovs, inputs, f"{args.out}/in/plain-60-10000.pcap")
            for attack in attacks:
                try:
                    found[attack] = peer(rig, attack.replace(" ", "-"), args.rounds)
                except (OvsError, FileNotFoundError) as e:
                    print(f"OVS-DPDK, {attack}: {e}", flush=True)
        except OvsError as e:
            print(f"OVS-DPDK: {e}", flush=True)
        finally:
            ovs.stop()
    return found


def show(rows):
    print("\n| attack | victims beside plain traffic, Mpps | beside the attack, Mpps | kept | OVS-DPDK, plain | attack | kept |\n"
          "|---|---:|---:|---:|---:|---:|---:|")
    for r in rows:
        theirs = "- | - | -" if r["ovs_kept"] is None else f"{r['ovs_plain']:.2f} | {r['ovs_attacked']:.2f} | {r['ovs_kept']:.0%}"
        print(f"| {r['attack']} | {r['plain']:.2f} | {r['attacked']:.2f} | {r['kept']:.0%} | {theirs} |")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--rounds", type=int, default=3, help="windows of OVS-DPDK beside each")
    args = options.parse_args()
    args.out = os.path.abspath(args.out)
    os.makedirs(f"{args.out}/in/attack", exist_ok=True)
    core = max(os.sched_getaffinity(0))
    rows, code, said = ours(f"{args.build}/attack", core)
    theirs = peers(args, core, [r["attack"] for r in rows])
    for r in rows:
        plain, attacked = theirs.get(r["attack"], (None, None))
        r.update(ovs_plain=plain, ovs_attacked=attacked, ovs_kept=attacked / plain if plain else None)
    show(rows)
    with open(f"{args.out}/attack.json", "w") as f:
        json.dump(rows, f, indent=1)
    if code != 0:
        sys.exit(said)


if __name__ == "__main__":
    main()
