#!/usr/bin/env python3
"""The OpenFlow switch test suite against sluiced: two switches, three links, one controller.

usage: switchtest.py VERSION...    (10, 13)
environment: SLUICED (program), WORK (folder for results), PYTHON (with os-ken), TESTS (folder that has of10, of13),
TESTER (sluiced or ovs), CASES (part of the cases), SLUICE_SHARED, LIMIT (seconds)."""
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.environ.get("WORK", "target/conformance")
SHARED = os.environ.get("SLUICE_SHARED", os.path.join(HERE, "../../shared"))
PYTHON = os.environ.get("PYTHON", sys.executable)
OVS_SCORE = {"10": (184, 184), "13": (680, 991)}
CONTROLLER = "10.255.0.1"
PORT = 6653


def sh(*words, quiet=True):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if quiet else None)


class Rig:
    """Namespaces, links and processes of one run; everything is gone afterwards."""

    def __init__(self, version):
        self.version = version
        self.name = f"slcf{os.getpid()}v{version}"
        self.tester, self.target = self.name + "r", self.name + "t"
        self.folder = os.path.join(os.path.abspath(WORK), f"switchtest-{version}")
        self.processes = []
        os.makedirs(self.folder, exist_ok=True)

    def __enter__(self):
        for space in (self.tester, self.target):
            sh("ip", "netns", "add", space)
            sh("ip", "-n", space, "link", "set", "lo", "up")
        self.link("ctl", "ctl")
        for space, address in ((self.tester, CONTROLLER), (self.target, "10.255.0.2")):
            sh("ip", "-n", space, "addr", "add", address + "/24", "dev", "ctl")
        for i in (1, 2, 3):
            self.link(f"tst{i}", f"tgt{i}")
        return self

    def link(self, one, other):
        sh("ip", "-n", self.tester, "link", "add", one, "type", "veth", "peer", "name", other, "netns", self.target)
        for space, end in ((self.tester, one), (self.target, other)):
            inside = ("ip", "netns", "exec", space)
            sh(*inside, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            sh("ip", "-n", space, "link", "set", end, "up")
            if end != "ctl":
                sh(*inside, "ethtool", "-K", end, *"tx off rx off tso off gso off gro off txvlan off rxvlan off".split())

    def start(self, space, log, *words):
        with open(os.path.join(self.folder, log), "w") as out:
            full = ("ip", "netns", "exec", space) + words
            process = subprocess.Popen(full, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def switch(self, space, bridge, number, ports, log):
        """A sluiced with one bridge."""
        text = f'[[bridge]]\nname = "{bridge}"\nfail_mode = "secure"\ndatapath_id = "{number:016x}"\n'
        text += f'protocols = ["OpenFlow{self.version}"]\ncontrollers = ["tcp:{CONTROLLER}:{PORT}"]\n'
        for i in (1, 2, 3):
            text += f'[[bridge.port]]\nname = "{ports}{i}"\nofport_request = {i}\n'
        config = os.path.join(self.folder, bridge + ".toml")
        with open(config, "w") as out:
            out.write(text)
        rundir = os.path.join(self.folder, bridge + ".run")
        return self.start(space, log, os.environ["SLUICED"], "--config", config, "--rundir", rundir)

    def open_vswitch(self, space, bridge, number, ports):
        """A stock Open vSwitch with one bridge."""
        folder = os.path.join(self.folder, "ovs")
        subprocess.run(["rm", "-rf", folder])
        os.makedirs(folder)
        database = f"{folder}/conf.db"
        sh("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.start(space, "ovsdb.log", "ovsdb-server", f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/db.ctl", database)
        vsctl = ["ovs-vsctl", f"--db=unix:{folder}/db.sock", "--timeout=20"]
        wait(lambda: os.path.exists(f"{folder}/db.sock"), "the database")
        sh(*vsctl, "--no-wait", "init")
        os.environ["OVS_RUNDIR"] = folder
        self.start(space, "vswitchd.log", "ovs-vswitchd", f"--unixctl={folder}/v.ctl", f"unix:{folder}/db.sock")
        words = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure",
                 f"other_config:datapath-id={number:016x}", f"protocols=OpenFlow{self.version}",
                 "other_config:disable-in-band=true"]
        for i in (1, 2, 3):
            words += ["--", "add-port", bridge, f"{ports}{i}", "--", "set", "interface", f"{ports}{i}", f"ofport_request={i}"]
        words += ["--", "set-controller", bridge, f"tcp:{CONTROLLER}:{PORT}", "--", "set", "controller", bridge, "max_backoff=1000"]
        sh(*vsctl, *words)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for space in (self.tester, self.target):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


def wait(holds, what):
    end = time.time() + 20
    while not holds():
        if time.time() > end:
            sys.exit(f"{what} did not come")
        time.sleep(0.05)


def run(version):
    """Runs the cases of a version; gives (group, case, verdict, what was said) of each."""
    with Rig(version) as rig:
        cases = os.path.join(os.environ["TESTS"], "of" + version, os.environ.get("CASES", ""))
        tester = rig.start(
            rig.tester, "result.log", "env", f"PYTHONPATH={HERE}", PYTHON, os.path.join(HERE, "tester.py"),
            "--ofp-tcp-listen-port", str(PORT), "--test-switch-dir", cases,
            "--test-switch-target-version", "openflow" + version, "--test-switch-tester-version", "openflow" + version,
            "--test-switch-interval", "0")
        wait(lambda: listens(rig.tester), "the controller")
        if os.environ.get("TESTER", "sluiced") == "ovs":
            rig.open_vswitch(rig.tester, "brtest", 2, "tst")
        else:
            rig.switch(rig.tester, "brtest", 2, "tst", "tester.log")
        rig.switch(rig.target, "brtgt", 1, "tgt", "target.log")
        try:
            tester.wait(int(os.environ.get("LIMIT", "3600")))
        except subprocess.TimeoutExpired:
            print("time is up; what follows is not the whole suite")
        with open(os.path.join(rig.folder, "result.log"), errors="replace") as log:
            return parse(log.read())


def listens(space):
    out = subprocess.run(["ip", "netns", "exec", space, "ss", "-Hltn", f"sport = :{PORT}"], capture_output=True, text=True)
    return bool(out.stdout.strip())


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
