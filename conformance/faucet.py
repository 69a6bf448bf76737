#!/usr/bin/env python3
"""Faucet over sluiced: two VLANs, routing between them, an ACL, a mirror, five hosts; twelve checks.

environment: SLUICED, WORK, FAUCET (program)."""
import os
import re
import signal
import subprocess
import sys
import time

from rig import Rig, sh, wait

CONFIG = """
acls:
  from-3:
    - rule: {eth_type: 0x800, ip_proto: 6, tcp_dst: 23, actions: {allow: 0}}
    - rule: {eth_type: 0x800, ip_proto: 17, udp_dst: 9999, actions: {allow: 1, meter: slow}}
    - rule: {eth_type: 0x86dd, ip_proto: 58, actions: {allow: 1}}
    - rule: {actions: {allow: 1}}
  from-2:
    - rule: {eth_type: 0x800, ip_proto: 1, actions: {allow: 1, mirror: 5}}
    - rule: {actions: {allow: 1}}
meters:
  slow: {meter_id: 1, entry: {flags: [KBPS], bands: [{type: DROP, rate: 1000}]}}
vlans:
  red: {vid: 100, faucet_vips: ["10.0.100.254/24", "fc00::1:254/112"], faucet_mac: "0e:00:00:00:00:01"}
  blue: {vid: 200, faucet_vips: ["10.0.200.254/24"], faucet_mac: "0e:00:00:00:00:02"}
routers:
  all: {vlans: [red, blue]}
dps:
  one:
    dp_id: 0x1
    hardware: "Open vSwitch"
    interfaces:
      1: {native_vlan: red}
      2: {native_vlan: red, acl_in: from-2}
      3: {native_vlan: red, acl_in: from-3}
      4: {native_vlan: blue}
      5: {output_only: true}
"""


class Faucet:
    """The rig, and what is asked of its hosts."""

    def __init__(self, rig):
        self.rig, self.passed, self.checks = rig, 0, 0
        self.s = rig.space("s")
        self.hosts = {}
        for i in range(1, 6):
            host = self.hosts[i] = rig.space(f"h{i}")
            rig.link(self.s, f"f{i}", host, "eth0")
            sh("ip", "netns", "exec", host, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
            sh("ip", "-n", host, "link", "set", "eth0", "address", f"0e:00:00:00:01:0{i}")
            self.address(i)

    def address(self, i):
        host = self.hosts[i]
        if i > 4:
            return
        net = 200 if i == 4 else 100
        for words in (["addr", "replace", f"10.0.{net}.{i}/24", "dev", "eth0"],
                      ["route", "replace", "default", "via", f"10.0.{net}.254"]):
            sh("ip", "-n", host, *words)
        if i < 4:
            sh("ip", "-n", host, "addr", "replace", f"fc00::1:{i}/112", "dev", "eth0", "nodad")

    def words(self, i, *words):
        return ("ip", "netns", "exec", self.hosts[i]) + words

    def try_(self, i, *words):
        return subprocess.run(self.words(i, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def ping(self, i, to, times=4):
        six = ["-6"] if ":" in to else []
        return self.try_(i, "ping", *six, "-c", str(times), "-W", "1", to)

    def connects(self, to_port):
        """Whether host 3 reaches a port of host 1."""
        server = self.rig.start(self.hosts[1], "nc.log", "nc", "-l", "-p", str(to_port))
        inside = self.words(1, "ss", "-Hltn", f"sport = :{to_port}")
        wait(lambda: subprocess.run(inside, capture_output=True).stdout.strip(), "a listener")
        reached = self.try_(3, "nc", "-z", "-w", "2", "10.0.100.1", str(to_port))
        server.terminate()
        return reached

    def check(self, what, good):
        self.checks += 1
        self.passed += bool(good)
        print(f"  {'PASS' if good else 'FAIL'} {what}")


def scenario(f, faucet, config, rundir):
    dump = ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", rundir + "/br0.mgmt"]
    rules = lambda: subprocess.run(dump, capture_output=True, text=True).stdout
    f.check("one VLAN, IPv4", f.ping(1, "10.0.100.2"))
    f.check("one VLAN, IPv6", f.ping(1, "fc00::1:2"))
    f.check("the gateway, IPv4", f.ping(1, "10.0.100.254"))
    f.check("the gateway, IPv6", f.ping(1, "fc00::1:254"))
    f.ping(4, "10.0.200.254", 2)
    f.check("from VLAN to VLAN", f.ping(1, "10.0.200.4"))
    f.check("the ACL lets tcp/24 through", f.connects(24))
    f.check("the ACL keeps tcp/23 out", not f.connects(23))
    mirror = f.rig.start(f.hosts[5], "mirror.log", "timeout", "8", "tcpdump", "-nni", "eth0", "-c", "2", "icmp")
    wait(lambda: "listening" in open(os.path.join(f.rig.folder, "mirror.log")).read(), "tcpdump")
    f.ping(2, "10.0.100.1", 3)
    f.check("the mirror sees ICMP", mirror.wait() == 0)
    host = re.compile(r"timeout.*0e:00:00:00:01:01|0e:00:00:00:01:01.*timeout")
    f.check("rules of a host time out", any(host.search(line) for line in rules().splitlines()))
    with open(config, "w") as out:
        out.write(CONFIG.replace("tcp_dst: 23", "tcp_dst: 24"))
    faucet.send_signal(signal.SIGHUP)
    wait(lambda: "tp_dst=24" in rules(), "the new ACL")
    f.check("a new ACL takes effect", not f.connects(24))
    sh("ip", "-n", f.hosts[2], "link", "set", "eth0", "down")
    end = time.time() + 10
    while "0e:00:00:00:01:02" in rules() and time.time() < end:
        time.sleep(0.1)
    f.check("a port that goes down takes its rules along", "0e:00:00:00:01:02" not in rules())
    sh("ip", "-n", f.hosts[2], "link", "set", "eth0", "up")
    f.address(2)
    time.sleep(2)
    f.check("a port that comes back carries traffic", f.ping(2, "10.0.100.1"))


def main():
    with Rig("faucet") as rig:
        f = Faucet(rig)
        config = os.path.join(rig.folder, "faucet.yaml")
        with open(config, "w") as out:
            out.write(CONFIG)
        program = os.environ["FAUCET"]
        env = dict(os.environ, FAUCET_CONFIG=config, FAUCET_LOG=rig.folder + "/faucet.log",
                   FAUCET_EXCEPTION_LOG=rig.folder + "/exception.log", FAUCET_PROMETHEUS_ADDR="127.0.0.1",
                   PATH=os.path.dirname(program) + ":" + os.environ["PATH"])
        faucet = rig.start(f.s, "faucet.out", program, "--ryu-ofp-tcp-listen-port=6653", env=env)
        wait(lambda: rig.listens(f.s, 6653), "faucet", 60)
        rundir = rig.switch(f.s, "br0", 1, [f"f{i}" for i in range(1, 6)], "13", "tcp:127.0.0.1:6653", "sluiced.log")
        log = lambda: open(rig.folder + "/faucet.log").read() if os.path.exists(rig.folder + "/faucet.log") else ""
        wait(lambda: "Port 4 (4) up" in log() or log().count(" up") >= 5, "faucet's configuration of the switch", 40)
        time.sleep(2)
        print("Faucet over sluiced:")
        scenario(f, faucet, config, rundir)
        print(f"Faucet: sluiced passes {f.passed} of {f.checks}; Open vSwitch 3.1 passes 12 of 12")
        sys.exit(0 if f.passed == f.checks else 1)


main()
