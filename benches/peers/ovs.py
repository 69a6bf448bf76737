"""OVS-DPDK out of Debian's package, unpacked and never installed, with a run directory of its own.

Purpose: one bridge arrangement per cell, and packets per CPU second of its polling thread.
Invariant: talks only to its own database and daemon.
Deliberately does not know: which cells there are.
"""

import glob
import os
import re
import shutil
import signal
import subprocess
import time

import threads

OWN = "192.0.2.2"
OWN_MAC = "02:00:00:00:ff:02"
PEER = "192.0.2.1"
PEER_MAC = "02:00:00:00:ff:01"
MEMORY_MB = 1024
UNDERLAY_MTU = 1600

MODES = {
    "default": ("100", "false"),
    "smc": ("0", "true"),
    "emc-off": ("0", "false"),
}


def answers(capture):
    folder, name = os.path.split(capture)
    return os.path.join(folder, f"answers-{name}")


class OvsError(Exception):
    pass


class Ovs:
    def __init__(self, box, folder, core):
        self.box, self.dir, self.core = box, os.path.abspath(folder), core
        self.daemon = self.database = None
        self.env = box.environment()
        for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
            self.env[name] = self.dir
        box.env = self.env

    @staticmethod
    def program(box):
        found = glob.glob(f"{box.root}/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
        return found[0] if found else None

    def start(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        schema = next((p for p in (f"{self.box.root}/usr/share/openvswitch/vswitch.ovsschema",
                                   "/usr/share/openvswitch/vswitch.ovsschema") if os.path.exists(p)), None)
        if schema is None:
            raise OvsError("no database schema: the package openvswitch-switch is missing")
        os.environ.update({k: v for k, v in self.env.items() if k.startswith("OVS_")})
        self._call(["ovsdb-tool", "create", f"{self.dir}/conf.db", schema])
        sock = f"{self.dir}/db.sock"
        self.database = self.box.start(
            ["ovsdb-server", f"{self.dir}/conf.db", f"--remote=punix:{sock}", f"--unixctl={self.dir}/ovsdb.ctl",
             f"--pidfile={self.dir}/ovsdb.pid", "-vconsole:off", f"--log-file={self.dir}/ovsdb.log"])
        self._wait(lambda: os.path.exists(sock), "ovsdb-server")
        extra = self.box.memory(MEMORY_MB) + ["--no-pci", f"--file-prefix=ovs{os.getpid()}"] + self.box.plugins()
        settings = ["dpdk-init=true", f"pmd-cpu-mask={1 << self.core:#x}", "dpdk-lcore-mask=0x1",
                    f'dpdk-extra="{" ".join(extra)}"']
        if self.box.hugepages:
            settings.append(f"dpdk-socket-mem={MEMORY_MB}")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", *[f"other_config:{s}" for s in settings])
        self.daemon = self.box.start(
            [self.program(self.box), f"unix:{sock}", f"--pidfile={self.dir}/vswitchd.pid",
             f"--log-file={self.dir}/vswitchd.log", "-vconsole:off", f"--unixctl={self.dir}/vswitchd.ctl"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ready = lambda: self.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized").strip() == "true"
        self._wait(ready, "ovs-vswitchd with DPDK")

    def _wait(self, ready, what):
        end = time.time() + 30
        while not ready():
            dead = self.daemon is not None and self.daemon.poll() is not None
            if dead or time.time() > end:
                raise OvsError(f"{what} did not start; see the logs in {self.dir}")
            time.sleep(0.05)

    def stop(self):
        for child in (self.daemon, self.database):
            if child is not None:
                self.box.stop(child)
        self.daemon = self.database = None

    def _call(self, words):
        done = subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise OvsError(f"{' '.join(words[:6])}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def vsctl(self, *words):
        return self._call(["ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "--timeout=30", *words])

    def appctl(self, *words):
        return self._call(["ovs-appctl", "-t", f"{self.dir}/vswitchd.ctl", *words])

    def ofctl(self, *words):
        return self._call(["ovs-ofctl", *words])

    def clear(self):
        for bridge in self.vsctl("list-br").split():
            self.vsctl("del-br", bridge)

    def bridge(self, name, mac=None):
        more = [f"other-config:hwaddr={mac}"] if mac else []
        self.vsctl("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail-mode=secure", *more)

    def _device(self, bridge, name, number, arguments):
        self.vsctl("add-port", bridge, name, "--", "set", "Interface", name, "type=dpdk",
                   f"ofport_request={number}", f"options:dpdk-devargs={arguments}")
        wrong = self.vsctl("get", "Interface", name, "error").strip()
        if wrong not in ("[]", '""'):
            raise OvsError(f"port {name}: {wrong}")

    def source(self, bridge, number, capture):
        self._device(bridge, f"in{number}", number, f"net_pcap{number},rx_pcap={os.path.abspath(capture)},infinite_rx=1")

    def sink(self, bridge, number, mtu=None):
        self._device(bridge, f"out{number}", number, f"net_null{number},no-rx=1")
        if mtu:
            self.vsctl("set", "Interface", f"out{number}", f"mtu_request={mtu}")

    def arrange(self, shape, rules, capture, long=False):
        """The same ports as in our own cell: source 1, sink 2, tunnel 8 whose packets use port 9 (and leave by 10)."""
        self.clear()
        self.bridge("br0")
        if shape in ("encap", "decap", "both"):
            self._underlay()
        self.ofctl("--bundle", "add-flows", "br0", rules)
        if shape == "decap":
            self.sink("br0", 2)
            self.source("phy", 9, capture)
            self.ofctl("add-flow", "phy", "in_port=9,actions=LOCAL")
            return
        if shape == "both":
            self.source("phy", 9, capture)
            self.sink("phy", 10)
            self.ofctl("add-flow", "phy", "in_port=9,actions=LOCAL")
            self.ofctl("add-flow", "phy", "in_port=LOCAL,actions=10")
            return
        if shape == "encap":
            # Long frames with outer headers around them; none is made longer that need not be.
            self.sink("phy", 9, UNDERLAY_MTU if long else None)
            self.ofctl("add-flow", "phy", "in_port=LOCAL,actions=9")
        elif shape == "stateful":
            self.source("br0", 2, answers(capture))
        else:
            self.sink("br0", 2)
        self.source("br0", 1, capture)

    def _underlay(self):
        self.bridge("phy", OWN_MAC)
        for words in (["addr", "add", f"{OWN}/24", "dev", "phy"], ["link", "set", "phy", "up"]):
            self._call(["ip", "-n", self.box.netns, *words])
        self.vsctl("add-port", "br0", "vx0", "--", "set", "Interface", "vx0", "type=vxlan", "ofport_request=8",
                   f"options:remote_ip={PEER}", "options:key=flow", f"options:local_ip={OWN}", "options:dst_port=4789")
        end = time.time() + 5
        while OWN not in self.appctl("ovs/route/show") and time.time() < end:
            time.sleep(0.05)
        self.appctl("tnl/neigh/set", "phy", PEER, PEER_MAC)

    def mode(self, name):
        probability, smc = MODES[name]
        self.vsctl("set", "Open_vSwitch", ".", f"other_config:emc-insert-inv-prob={probability}",
                   f"other_config:smc-enable={smc}")

    def pause(self):
        self.daemon.send_signal(signal.SIGSTOP)

    def resume(self):
        self.daemon.send_signal(signal.SIGCONT)

    def window(self, settle, seconds):
        """Packets and nanoseconds of CPU time of the polling thread, and its misses."""
        pid = self.daemon.pid
        tids = threads.find(pid, "pmd")
        time.sleep(settle)
        before, ns_before = self._seen(), threads.cpu_ns(pid, tids)
        time.sleep(seconds)
        after, ns_after = self._seen(), threads.cpu_ns(pid, tids)
        packets, misses = after[0] - before[0], after[1] - before[1]
        if packets <= 0 or ns_after <= ns_before:
            raise OvsError("no packets in a window")
        return packets, ns_after - ns_before, misses

    def _seen(self):
        text = self.appctl("dpif-netdev/pmd-stats-show").split("main thread")[0]
        count = lambda what: sum(int(n) for n in re.findall(rf"{what}: (\d+)", text))
        return count("packets received"), count("miss with success upcall") + count("miss with failed upcall")

    def check(self, shape):
        """Does all that comes in go out? Figures of dropped packets would be worth nothing."""
        source, sink = {"plain": (("br0", 1), ("br0", 2)), "stateful": (("br0", 1), ("br0", 2)), "encap": (("br0", 1), ("phy", 9)),
                        "decap": (("phy", 9), ("br0", 2)), "both": (("phy", 9), ("phy", 10))}[shape]
        end = time.time() + 6
        while time.time() < end:
            before = self._packets(*source, "rx"), self._packets(*sink, "tx")
            time.sleep(0.25)
            received, sent = (self._packets(*p, way) - b for p, way, b in zip((source, sink), ("rx", "tx"), before))
            # Both are read while packets pass: a little apart is no loss.
            if received > 1000 and sent >= 0.95 * received:
                return
        raise OvsError(f"{received} packets came in and {sent} went out in a quarter of a second")

    def _packets(self, bridge, port, way):
        found = re.search(rf"{way} pkts=(\d+)", self.ofctl("dump-ports", bridge, str(port)))
        return int(found.group(1)) if found else 0
