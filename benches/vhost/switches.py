"""The switches that are compared: each connects to two guests and says how busy it was.

Purpose: start, rules, and busy cycles and packets of the polling thread.
Invariant: both are asked in the same words (`dpif-netdev/pmd-stats-show`) and judged by the same arithmetic.
Deliberately does not know: cells.
"""

import os
import re
import shutil
import socket
import subprocess
import time

import threads
from ovs import Ovs


class SwitchError(Exception):
    pass


def counts(text):
    """Packets, cycles in turns with packets, cycles in turns without."""
    text = text.split("main thread")[0]
    found = [re.search(rf"{what}: (\d+)", text) for what in ("packets received", "processing cycles", "idle cycles")]
    return [int(f.group(1)) if f else 0 for f in found]


def answers(path):
    """Does someone listen at a socket?"""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


class Window:
    """Between two looks at a switch."""

    def __init__(self, before, after, ns, mhz):
        self.packets, busy, idle = (b - a for a, b in zip(before, after))
        if self.packets <= 0 or ns <= 0:
            raise SwitchError("no packets in a window")
        self.share = busy / max(1, busy + idle)
        # CPU time, not the clock: what a neighbour takes away does not count.
        self.cycles = ns * self.share * mhz / 1000 / self.packets


class Sluice:
    name = "Sluice"

    def __init__(self, box, program, folder, core):
        self.box, self.program, self.dir, self.core = box, program, os.path.abspath(folder), core
        self.child = None

    def start(self, guests):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        lines = ["[workers]", f"cpus = [{self.core}]", "[[bridge]]", 'name = "vhbr0"', 'fail_mode = "secure"']
        for i, guest in enumerate(guests):
            lines += ["[[bridge.port]]", f'name = "v{chr(65 + i)}"', 'kind = "dpdkvhostuserclient"',
                      f'vhost_server_path = "{guest}"', f"ofport_request = {i + 1}"]
        with open(f"{self.dir}/config.toml", "w") as f:
            f.write("\n".join(lines) + "\n")
        log = open(f"{self.dir}/log", "wb")
        words = [self.program, "--config", f"{self.dir}/config.toml", "--rundir", self.dir, f"--unixctl={self.dir}/ctl"]
        self.child = self.box.start(words, stdout=log, stderr=log)
        self.bridge = f"unix:{self.dir}/vhbr0.mgmt"
        deadline = time.time() + 10
        while not answers(f"{self.dir}/vhbr0.mgmt"):
            if self.child.poll() is not None or time.time() > deadline:
                raise SwitchError(f"sluiced did not start; see {self.dir}/log")
            time.sleep(0.05)

    def stop(self):
        if self.child is not None:
            self.box.stop(self.child)
        self.child = None

    def pause(self):
        pass

    def resume(self):
        pass

    def rules(self, path):
        subprocess.run(["ovs-ofctl", "del-flows", self.bridge], check=True)
        subprocess.run(["ovs-ofctl", "add-flows", self.bridge, path], check=True)

    def look(self):
        words = ["ovs-appctl", "-t", f"{self.dir}/ctl", "dpif-netdev/pmd-stats-show"]
        return counts(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    def workers(self):
        return self.child.pid, threads.find(self.child.pid, "worker")


class OvsDpdk(Ovs):
    name = "OVS-DPDK"

    def start(self, sockets):
        super().start()
        self.bridge("br0")
        for i, socket in enumerate(sockets):
            name = f"v{'AB'[i]}"
            self.vsctl("add-port", "br0", name, "--", "set", "Interface", name, "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={socket}", f"ofport_request={i + 1}")
        self.pause()

    def rules(self, path):
        self.ofctl("del-flows", "br0")
        self.ofctl("add-flows", "br0", path)

    def look(self):
        return counts(self.appctl("dpif-netdev/pmd-stats-show"))

    def workers(self):
        return self.daemon.pid, threads.find(self.daemon.pid, "pmd")


def measure(switch, seconds, mhz):
    pid, tids = switch.workers()
    before, ns = switch.look(), threads.cpu_ns(pid, tids)
    time.sleep(seconds)
    after, ns_after = switch.look(), threads.cpu_ns(pid, tids)
    return Window(before, after, ns_after - ns, mhz)
