#!/usr/bin/env python3
"""How fast rules change and are told: sluiced beside ovs-vswitchd in the same run, in turns, as ratios with their bars.

Wall times are the least of the rounds; CPU is that of client and daemon together. Ends with 1 where a bar is missed.
environment: SLUICE_BIN (folder of release programs), RULES (default 500000), ROUNDS (2), WORK (scratch folder), PARTS (some
of conjunction, fills, table, traffic, hostile; default all)."""
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import conjunction
import speak
import traffic
from rig import OURS, STOCK, WORK, OpenVSwitch, Sluice, sh, timed, wait

RULES = int(os.environ.get("RULES", "500000"))
ROUNDS = int(os.environ.get("ROUNDS", "2"))
PARTS = os.environ.get("PARTS", "conjunction fills table traffic hostile").split()
TABLE = min(RULES, 100_000)
# Rule changes in a second that packets must bear.
CHANGES = 100_000
missed = []


def line(what, ours, theirs, unit, bar=None, value=None, note=""):
    """A row of the table; `value` is held against `bar` (a pair: at most or at least, and how much)."""
    ratio = f"{ours / theirs:7.2f}" if theirs else "      -"
    other = f"{theirs:11.3f}" if theirs else "          -"
    verdict = ""
    if bar:
        most, limit = bar
        value = ours / theirs if value is None else value
        good = value <= limit if most == "<=" else value >= limit
        verdict = f"{'OK    ' if good else 'MISSED'} {most} {limit:g}"
        if not good:
            missed.append(what)
    print(f"{what:58} {ours:11.3f} {other} {ratio}  {unit:4} {verdict:16} {note}", flush=True)


def rules_file(count):
    """Rules of one mask and priority, as forwarding tables have them."""
    path = os.path.join(WORK, f"rules-{count}.txt")
    with open(path, "w") as out:
        for i in range(count):
            out.write(f"table=5,priority=100,ip,nw_dst=10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255},actions=output:{1 + i % 2}\n")
    return path


def fill(client, switch, path, bundle):
    sh(*STOCK, "del-flows", switch.socket)
    # What was deleted is let go of before the clock starts.
    sh(*STOCK, "dump-aggregate", switch.socket)
    return timed(switch, *client, *(["--bundle"] if bundle else []), "add-flows", switch.socket, path)


def least(all):
    return min(wall for wall, _ in all), min(cpu for _, cpu in all)


def fills(sluice, ovs):
    many = rules_file(RULES)
    cells = {}
    before, per_rule = sluice.memory(), 0
    for _ in range(ROUNDS):
        for bundle in (False, True):
            for name, client, switch in (("stock ovs", STOCK, ovs), ("own", OURS, sluice), ("stock", STOCK, sluice)):
                cells.setdefault((name, bundle), []).append(fill(client, switch, many, bundle))
                per_rule = per_rule or (name == "own" and (sluice.memory() - before) / RULES) or 0
    for bundle, words, bar in ((False, "one by one", 0.25), (True, "in a bundle", 0.5)):
        theirs = least(cells["stock ovs", bundle])
        for name, limit in (("own", bar), ("stock", 1.0)):
            ours = least(cells[name, bundle])
            note = f"cpu {ours[1]:.2f} / {theirs[1]:.2f} s = {ours[1] / theirs[1]:.2f}"
            line(f"{RULES} rules {words}, {name} client / stock with ovs", ours[0], theirs[0], "s", ("<=", limit), note=note)
    line("memory for a rule", per_rule, 0, "B", ("<=", 1024), per_rule)


def table_of_100k(sluice, ovs):
    table = rules_file(TABLE)
    for s in (sluice, ovs):
        fill(OURS if s is sluice else STOCK, s, table, True)
    dumps = {}
    for _ in range(3):
        for name, client, switch in (("stock ovs", STOCK, ovs), ("own", OURS, sluice), ("stock", STOCK, sluice)):
            dumps.setdefault(name, []).append(timed(switch, *client, "dump-flows", switch.socket))
    theirs = least(dumps["stock ovs"])
    for name in ("own", "stock"):
        ours = least(dumps[name])
        note = f"cpu {ours[1]:.2f} / {theirs[1]:.2f} s"
        line(f"dump of {TABLE} rules, {name} client", ours[0], theirs[0], "s", ("<=", 1.0), ours[0], note)
    ours, theirs = speak.latency(sluice), speak.latency(ovs)
    middle, late = len(ours) // 2, len(ours) * 99 // 100
    line(f"one flow-mod in a table of {TABLE}, median", ours[middle], theirs[middle], "ms", ("<=", 1.0), ours[middle])
    line(f"one flow-mod in a table of {TABLE}, 99th percentile", ours[late], theirs[late], "ms")


def under_traffic(sluice, ovs):
    for s in (sluice, ovs):
        sh(*STOCK, "add-flow", s.socket, "in_port=1,actions=output:2")
        sh(*STOCK, "add-flow", s.socket, "in_port=2,actions=output:1")
    # In turns, and often: the machine may be busier in one window than in another.
    idle, busy, kept, changes, theirs = [], [], [], [], []
    for _ in range(4 * ROUNDS):
        idle.append(traffic.rate(sluice, False)[0])
        packets, changed = traffic.rate(sluice, True, CHANGES * 1.02)
        busy.append(packets)
        kept.append(changed)
    for _ in range(ROUNDS):
        changes.append(traffic.rate(sluice, True)[1])
        theirs.append(traffic.rate(ovs, True)[1])
    line("rule changes in a second while packets flow", max(changes) / 1000, max(theirs) / 1000, "k/s", (">=", CHANGES / 1000), max(changes) / 1000)
    with_changes, without, at = (statistics.median(all) for all in (busy, idle, kept))
    note = f"at {at / 1000:.0f} k changes a second"
    line("packets for a worker's second: with changes / without", with_changes / 1000, without / 1000, "k", (">=", 0.8), note=note)
    line("rule changes in a second beside those packets", at / 1000, 0, "k/s", (">=", CHANGES / 1000), at / 1000)


def hostile(sluice):
    """The 99th percentile of the delay while a controller is hostile and while nobody is, the least of the rounds; and,
    for what the machine's scheduler has a part in, while the same is done to a sink beside us."""
    path = os.path.join(WORK, "sink")
    sh(*STOCK, "add-flow", sluice.socket, "in_port=1,actions=output:2")
    sh(*STOCK, "add-flow", sluice.socket, "in_port=2,actions=output:1")
    at = lambda times: times[len(times) * 99 // 100]
    calm = min(at(traffic.delays(sluice)[0]) for _ in range(ROUNDS))
    line("delay of a packet, 99th percentile, nobody hostile", calm, 0, "us")
    sink = traffic.sink(path)
    try:
        for how in traffic.HOSTILE:
            beside, here, lost = [], [], 0
            for _ in range(ROUNDS):
                beside.append(at(traffic.under_attack(sluice, how, path)[0]))
                times, gone = traffic.under_attack(sluice, how, sluice.socket)
                here.append(at(times))
                lost += gone
            note = f"{lost} lost; at a sink {min(beside):.0f} us"
            line(f"the same while a controller {how} / without", min(here), calm, "us", ("<=", 2.0), note=note)
    finally:
        sink.kill()
        sink.wait()
    # The last attackers may still stand in line.
    wait(lambda: subprocess.run([*STOCK, "del-flows", sluice.socket], stderr=subprocess.DEVNULL).returncode == 0, "an answer")


def main():
    os.makedirs(WORK, exist_ok=True)
    switches = []
    try:
        switches.append(Sluice())
        switches.append(OpenVSwitch())
        sluice, ovs = switches
        print(f"{'':58} {'sluice':>11} {'other':>11} {'ratio':>7}")
        # First: what the process grows by shows only while it has nothing left over from more rules.
        parts = {
            "conjunction": lambda: conjunction.measure(sluice, ovs, line),
            "fills": lambda: fills(sluice, ovs),
            "table": lambda: table_of_100k(sluice, ovs),
            "traffic": lambda: under_traffic(sluice, ovs),
            "hostile": lambda: hostile(sluice),
        }
        for name in PARTS:
            parts[name]()
    finally:
        for s in switches:
            s.stop()
    print("MISSED: " + "; ".join(missed) if missed else "every bar is reached")
    sys.exit(1 if missed else 0)


main()
