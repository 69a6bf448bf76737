#!/usr/bin/env python3
"""The OpenFlow switch test suite against sluiced: two switches, three links, one controller.

usage: switchtest.py VERSION...    (10, 13)
environment: SLUICED (program), WORK (folder for results), PYTHON (with os-ken), TESTS (folder that has of10, of13),
TESTER (sluiced or ovs), CASES (part of the cases), SLUICE_SHARED, LIMIT (seconds)."""
import os
import re
import subprocess
import sys

from rig import WORK, Rig, sh, wait

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("SLUICE_SHARED", os.path.join(HERE, "../../shared"))
PYTHON = os.environ.get("PYTHON", sys.executable)
OVS_SCORE = {"10": (184, 184), "13": (680, 991)}
CONTROLLER = "10.255.0.1"
PORT = 6653


def open_vswitch(rig, space, bridge, number, ports, version):
    """A stock Open vSwitch with one bridge."""
    folder = os.path.join(rig.folder, "ovs")
    subprocess.run(["rm", "-rf", folder])
    os.makedirs(folder)
    database = f"{folder}/conf.db"
    sh("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
    rig.start(space, "ovsdb.log", "ovsdb-server", f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/db.ctl", database)
    vsctl = ["ovs-vsctl", f"--db=unix:{folder}/db.sock", "--timeout=20"]
    wait(lambda: os.path.exists(f"{folder}/db.sock"), "the database")
    sh(*vsctl, "--no-wait", "init")
    env = dict(os.environ, OVS_RUNDIR=folder)
    rig.start(space, "vswitchd.log", "ovs-vswitchd", f"--unixctl={folder}/v.ctl", f"unix:{folder}/db.sock", env=env)
    words = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure",
             f"other_config:datapath-id={number:016x}", f"protocols=OpenFlow{version}",
             "other_config:disable-in-band=true"]
    for i, port in enumerate(ports, 1):
        words += ["--", "add-port", bridge, port, "--", "set", "interface", port, f"ofport_request={i}"]
    words += ["--", "set-controller", bridge, f"tcp:{CONTROLLER}:{PORT}", "--", "set", "controller", bridge, "max_backoff=1000"]
    sh(*vsctl, *words)


def run(version):
    """Runs the cases of a version; gives (group, case, verdict, what was said) of each."""
    with Rig(f"switchtest-{version}") as rig:
        here, there = rig.space("r"), rig.space("t")
        rig.link(here, "ctl", there, "ctl")
        for space, address in ((here, CONTROLLER), (there, "10.255.0.2")):
            sh("ip", "-n", space, "addr", "add", address + "/24", "dev", "ctl")
        for i in (1, 2, 3):
            rig.link(here, f"tst{i}", there, f"tgt{i}")
        cases = os.path.join(os.environ["TESTS"], "of" + version, os.environ.get("CASES", ""))
        tester = rig.start(
            here, "result.log", PYTHON, os.path.join(HERE, "tester.py"),
            "--ofp-tcp-listen-port", str(PORT), "--test-switch-dir", cases,
            "--test-switch-target-version", "openflow" + version, "--test-switch-tester-version", "openflow" + version,
            "--test-switch-interval", "0")
        wait(lambda: rig.listens(here, PORT), "the controller")
        controller = f"tcp:{CONTROLLER}:{PORT}"
        if os.environ.get("TESTER", "sluiced") == "ovs":
            open_vswitch(rig, here, "brtest", 2, ["tst1", "tst2", "tst3"], version)
        else:
            rig.switch(here, "brtest", 2, ["tst1", "tst2", "tst3"], version, controller, "tester.log")
        rig.switch(there, "brtgt", 1, ["tgt1", "tgt2", "tgt3"], version, controller, "target.log")
        try:
            tester.wait(int(os.environ.get("LIMIT", "3600")))
        except subprocess.TimeoutExpired:
            print("time is up; what follows is not the whole suite")
        with open(os.path.join(rig.folder, "result.log"), errors="replace") as log:
            return parse(log.read())


def parse(text):
    """Cases stand indented under their group, each with its verdict; what a failed one said stands under it."""
    cases, group = [], ""
    for line in text.split("---  Test end  ---")[0].splitlines():
        case = re.match(r"    (\S.*?)\s+(OK|ERROR)$", line)
        if case:
            cases.append([group, case[1], case[2], ""])
        elif re.match(r"[a-z]+: ", line):
            group = line.strip()
        elif cases and line.startswith("        "):
            cases[-1][3] += line.strip() + " "
    return cases


def theirs(version):
    """Open vSwitch's verdicts, where they are at hand: a list per group and case, for some stand twice."""
    path = os.path.join(SHARED, "recipes", f"ryu-of{version}-ovs31.tsv")
    verdicts = {}
    if os.path.exists(path):
        for line in open(path):
            group, case, verdict = (line.rstrip("\n").split("\t") + [""] * 3)[:3]
            verdicts.setdefault((group, case), []).append(verdict)
    return verdicts


def report(version, cases):
    """Prints the score; true when no case fails that Open vSwitch passes."""
    passed = sum(c[2] == "OK" for c in cases)
    best, most = OVS_SCORE[version]
    known = theirs(version)
    worse, better = [], []
    for group, case, verdict, said in cases:
        other = known.get((group, case), [])
        other = other.pop(0) if other else None
        if verdict == "ERROR" and other == "OK":
            worse.append((group, case, said))
        if verdict == "OK" and other == "ERROR":
            better.append((group, case))
    with open(os.path.join(WORK, f"switchtest-{version}.tsv"), "w") as out:
        out.writelines("\t".join(c) + "\n" for c in cases)
    print(f"OpenFlow 1.{int(version) - 10}: sluiced passes {passed} of {len(cases)}; Open vSwitch 3.1 passes {best} of {most}")
    if known:
        print(f"  passed where Open vSwitch fails: {len(better)}; failed where Open vSwitch passes: {len(worse)}")
        for group, case, said in worse:
            print(f"  WORSE {group} {case}: {said[:200]}")
    whole = len(cases) == most or "CASES" in os.environ
    return whole and not worse and (passed >= best or "CASES" in os.environ)


def main():
    good = True
    for version in sys.argv[1:] or ["10", "13"]:
        good &= report(version, run(version))
    sys.exit(0 if good else 1)


main()
