#!/usr/bin/env python3
"""Three hosts, five machines, one network: the demo of Sluice. See README.md.

usage: demo.py [--switch sluiced|ovs] [--keep] [--clean]
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import interrupts
import net
import pcap
import probe
import scene
import switches
from net import CommandFailed, run


class Broken(Exception):
    """A promise of the demo did not hold."""


def say(text=""):
    """Prints a line; when nobody reads any more, ends the demo as Ctrl-C does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")
        raise KeyboardInterrupt from None


def head(text):
    say(f"\n== {text}")


class Demo:
    """Everything that runs, and how it is ended."""

    def __init__(self, kind, programs, directory):
        self.kind, self.programs, self.dir = kind, programs, Path(directory)
        self.running = []
        self.switches = []
        self.cloud = self.dir / "cloud.yaml"

    def close(self):
        """Ends all programs, then removes the namespaces. Safe at any point."""
        while self.running:
            try:
                self.running.pop().stop()
            except Exception as error:  # the rest must go all the same
                say(f"while cleaning up: {error}")
        net.remove_all()

    # --- setting up ----------------------------------------------------------------------

    def build(self):
        head("making three hosts, a router between them, and five machines")
        net.build()
        for host in scene.HOSTS:
            here = ", ".join(f"{m.name} {m.ip}" for m in scene.MACHINES if m.host == host)
            what = "Linux vxlan device and bridge" if host.plain else switches.KINDS[self.kind].label
            say(f"   {host.name}  {host.ip:<11}  {what:<30}  {here}")
        self.start_capture()
        self.cloud.write_text(scene.cloud())
        for host in scene.HOSTS:
            if host.plain:
                net.plain_host(host, switches.KINDS[self.kind].offloads)
            else:
                self.start_switch(host)
        for host, switch in zip(scene.HOSTS, self.switches):
            self.start_controller(host, switch)
        self.wait_for_rules()

    def start_capture(self):
        devices = [f"to-{h.name}" for h in scene.HOSTS]
        script = str(Path(__file__).with_name("capture.py"))
        command = net.inside(scene.ROUTER, sys.executable, script, str(self.dir), *devices)
        with interrupts.shield():
            self.capture = Capture(command)
            self.running.append(self.capture)
        self.capture.wait()

    def start_switch(self, host):
        if not switches.KINDS[self.kind].offloads:
            for machine in scene.MACHINES:
                net.offloads_off(machine)
        switch = switches.KINDS[self.kind](host, self.dir / host.name, self.programs)
        self.running.append(switch)
        self.switches.append(switch)
        switch.start()

    def start_controller(self, host, switch):
        log = self.dir / f"controller-{host.name}.log"
        with interrupts.shield():
            program = switches.controller(host, switch, self.cloud, self.programs, log)
            self.running.append(program)
        switch.controller = program

    def wait_for_rules(self):
        for switch in self.switches:
            log = switch.controller.log

            def settled(switch=switch, log=log):
                switch.controller.check()
                text = log.read_text()
                return all(f"{bridge}: " in text for bridge in ("br-int", "br-tun")) and text

            text = switches.wait_for(f"rules on {switch.host.name} (see {log})", settled)
            for line in text.strip().splitlines():
                say(f"   {switch.host.name}: {line.removeprefix('sluice-controller: ')}")

    # --- what is shown -------------------------------------------------------------------

    def pings(self):
        head("ping, every pair of machines, IPv4 and IPv6")
        broken = []
        for a, b in scene.pairs():
            v4, v6 = probe.ping(a, b.ip), probe.ping(a, b.ip6)
            where = "same host" if probe.same_host(a, b) else f"{a.host.name} -> {b.host.name}"
            say(f"   {a.name} -> {b.name}  {where:<15}  IPv4 {word(v4)}  IPv6 {word(v6)}")
            broken += [f"{a.name}->{b.name}"] if not (v4 and v6) else []
        if broken:
            raise Broken(f"no answer to pings: {', '.join(broken)}")

    def serve(self, machine, port):
        with interrupts.shield():
            server = probe.Server(machine, port)
            self.running.append(server)
        server.wait()

    def transfers(self):
        head(f"TCP, one connection per pair: 4 MiB to port {scene.OPEN_PORT}, compared by digest")
        state = probe.offloads(scene.MACHINES[0])
        if state:
            say("   the machines' offloads: " + ", ".join(f"{k} {v}" for k, v in sorted(state.items())))
        for machine in scene.MACHINES:
            self.serve(machine, scene.OPEN_PORT)
        broken = []
        for a, b in scene.pairs():
            begin = time.monotonic()
            good = probe.transfer(a, b.ip, scene.OPEN_PORT)
            say(f"   {a.name} -> {b.name}  {word(good)}  ({time.monotonic() - begin:.2f} s)")
            broken += [] if good else [f"{a.name}->{b.name}"]
        if broken:
            raise Broken(f"TCP did not get through: {', '.join(broken)}")

    def denied(self):
        a, b = scene.MACHINES[0], scene.MACHINES[2]
        head(f"a connection that the security group does not allow: {a.name} -> {b.name} port {scene.CLOSED_PORT}")
        self.serve(b, scene.CLOSED_PORT)
        if not probe.transfer(b, b.ip, scene.CLOSED_PORT, size=1024):
            raise Broken(f"{b.name} does not serve port {scene.CLOSED_PORT} even to itself; the probe proves nothing")
        before = self.refused_at(b.host)
        if probe.transfer(a, b.ip, scene.CLOSED_PORT, size=1024, timeout=2):
            raise Broken("the connection came about")
        after = self.refused_at(b.host)
        if after <= before:
            raise Broken("no answer, but the rules refused nothing: the packets were lost elsewhere")
        say(f"   {b.name} serves the port (asked from within), {a.name} gets no answer;")
        say(f"   {after - before} packets refused by {b.host.name}'s rule 'no security group allows it' (br-int table 82)")

    def refused_at(self, host):
        """Packets that met the last rule of table 82 (ingress) on a host."""
        switch = next(s for s in self.switches if s.host == host)
        for line in switch.dump("br-int").splitlines():
            if re.search(r"table=82, .*priority=0 ", line):
                return int(re.search(r"n_packets=(\d+)", line).group(1))
        raise Broken(f"{host.name} has no rule that refuses")

    def arp(self):
        head("ARP on the underlay")
        unknown = f"{scene.NETWORK}.99"
        probe.ping(scene.MACHINES[0], unknown, count=1, wait=1)
        lost = self.capture.end()
        if lost:
            raise Broken(f"the capture lost {lost} frames; it proves nothing")
        known = {m.ip for m in scene.MACHINES}
        switched = {h.ip for h in scene.HOSTS if not h.plain}
        seen = {}
        packets = 0
        for host in scene.HOSTS:
            for frame in pcap.read(self.dir / f"to-{host.name}.pcap"):
                inner = pcap.vxlan(frame)
                # Each packet passes two of the router's devices: count it where it comes in.
                if inner is None or inner.outer_src != host.ip:
                    continue
                packets += 1
                target = pcap.arp_target(inner.frame)
                if target:
                    seen.setdefault(host.ip, []).append(target)
        for host in scene.HOSTS:
            targets = seen.get(host.ip, [])
            of_known = [t for t in targets if t in known]
            say(f"   from {host.name}: {len(of_known)} ARP broadcasts for known addresses, "
                f"{len(targets) - len(of_known)} for others")
        say(f"   ({packets} VXLAN packets seen on the router)")
        crossed = [t for ip in switched for t in seen.get(ip, []) if t in known]
        if crossed:
            raise Broken(f"ARP broadcasts crossed the underlay for {', '.join(sorted(set(crossed)))}")
        if unknown not in seen.get(scene.HOSTS[0].ip, []):
            raise Broken(f"the question for {unknown} was not seen: the capture is blind")
        say(f"   the switches answered for every known address; the question for {unknown}, which nobody has, did cross")

    def rules(self):
        head("rules with their counters (rules that no packet met are only counted)")
        for switch in self.switches:
            for bridge in ("br-int", "br-tun"):
                lines = [l.strip() for l in switch.dump(bridge).splitlines() if "actions=" in l]
                met = [l for l in lines if "n_packets=0," not in l]
                say(f"\n-- {switch.host.name} {bridge}: {len(lines)} rules, {len(met)} met by packets")
                for line in met:
                    say("   " + re.sub(r"(cookie=\w+, |duration=[\d.]+s, |idle_age=\d+, |hard_age=\d+, )", "", line))

    def paths(self):
        head(f"the way of a TCP packet to port {scene.OPEN_PORT}, for every pair, in words")
        plain = [h.name for h in scene.HOSTS if h.plain]
        for a, b in scene.pairs():
            say(f"\n-- {a.name} -> {b.name}")
            if a.host.plain and b.host.plain:
                say("   within a plain Linux host")
                continue
            text = run(str(Path(self.programs) / "sluice-controller"), "path", "--source", f"file:{self.cloud}",
                       "--from", a.name, "--to", b.name, "--protocol", "tcp", "--tp-dst", str(scene.OPEN_PORT))
            for line in text.strip().splitlines():
                if line.split()[0] not in plain:
                    say("   " + line)
            if b.host.plain:
                say(f"   ({b.host.name} is plain Linux: the kernel's vxlan device and bridge deliver it)")


class Capture:
    """capture.py on the router."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def wait(self):
        """Waits until it records."""
        if self.process.stdout.readline().strip() != "ready":
            raise CommandFailed(f"the capture did not start: {self.process.stderr.read().strip()}")

    def end(self):
        """Ends it; gives the number of frames that were lost."""
        self.process.send_signal(signal.SIGTERM)
        line = self.process.stdout.readline()
        self.process.wait(20)
        return int(line.split()[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def word(good):
    return "ok" if good else "FAILED"


def show(demo):
    demo.build()
    demo.pings()
    demo.transfers()
    demo.denied()
    demo.arp()
    demo.rules()
    demo.paths()


def with_root(arguments, programs):
    for tool in ("ip", "bridge", "ping"):
        if not shutil.which(tool):
            say(f"{tool} is missing; install it: apt-get install iproute2 iputils-ping")
            return 1
    if net.namespaces():
        say("namespaces of an earlier demo are there; remove them with demo/run.sh --clean")
        return 1
    directory = tempfile.mkdtemp(prefix="sluicedemo-")
    demo = Demo(arguments.switch, programs, directory)
    status = 1
    try:
        show(demo)
        status = 0
    except KeyboardInterrupt:
        say("\ninterrupted")
        status = 130
    except (Broken, CommandFailed, OSError) as error:
        say(f"\nFAILED: {error}")
    finally:
        head("removing all that was made")
        interrupts.ignore()
        demo.close()
        if arguments.keep:
            say(f"   logs and captures stay in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
        left = net.namespaces()
        say(f"   {'nothing is left' if not left else 'left: ' + ', '.join(left)}")
    if status == 0:
        say("\nAll that was promised held.")
    return status


def main():
    parser = argparse.ArgumentParser(description="Shows Sluice: three hosts, five machines, one network.")
    parser.add_argument("--switch", choices=sorted(switches.KINDS), default="sluiced",
                        help="what switches on the two hosts (ovs: stock Open vSwitch, for comparison)")
    parser.add_argument("--keep", action="store_true", help="keep logs and captures")
    parser.add_argument("--clean", action="store_true", help="remove what an interrupted demo left, and exit")
    parser.add_argument("--replay", action="store_true", help="the scenario from pcap to pcap, as without root")
    arguments = parser.parse_args()
    programs = os.environ.get("SLUICE_BIN") or str(Path(__file__).parent.parent / "target" / "release")
    if os.geteuid() != 0 or arguments.replay:
        import replay
        return replay.main(programs, explain=not arguments.replay)
    interrupts.install()
    if arguments.clean:
        net.remove_all()
        return 0
    return with_root(arguments, programs)


if __name__ == "__main__":
    sys.exit(main())
