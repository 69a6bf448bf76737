"""Two guests in one testpmd: A sends a capture by a virtio port, B takes what comes by another.

Purpose: load that a vhost-user switch forwards from A to B, and what arrived.
Invariant: the guests listen, the switch connects; both ends are as DPDK's virtio-user makes them.
Deliberately does not know: which switch.
"""

import os
import re
import select
import shutil
import subprocess
import time

import threads

MEMORY_MB = 512


class GuestsError(Exception):
    pass


class Guests:
    """Use with `with`."""

    def __init__(self, box, core, folder, capture, queue, log, comes_back=False):
        self.box, self.folder, self.log = box, os.path.abspath(folder), log
        self.sockets = [f"{self.folder}/vA.sock", f"{self.folder}/vB.sock"]
        program = next((p for p in (f"{box.root}/usr/bin/dpdk-testpmd", shutil.which("dpdk-testpmd")) if p and os.path.exists(p)), None)
        if program is None:
            raise GuestsError("dpdk-testpmd is not here (Debian: dpdk-dev)")
        memory = ["--huge-dir", box.huge, "--single-file-segments", "-m", str(MEMORY_MB)] if box.hugepages else ["--no-huge", "-m", "1024"]
        eal = ["--lcores", f"0@{core},1@{core}", "--no-pci", "--no-telemetry", f"--file-prefix=vg{os.getpid()}"] + memory
        eal += box.plugins("net_virtio")
        vdevs = [f"net_pcap0,rx_pcap={os.path.abspath(capture)},infinite_rx=1"]
        vdevs += [f"net_virtio_user{i},path={s},mac=fa:16:3e:00:00:0{i + 1},server=1,{queue}" for i, s in enumerate(self.sockets)]
        vdevs += ["net_null0,no-rx=1"]
        for vdev in vdevs:
            eal += ["--vdev", vdev]
        own = ["--forward-mode=io", "--nb-cores=1", "--portlist=0,1,2,3", "--port-topology=paired",
               "--txd=1024", "--rxd=1024", "--total-num-mbufs=16384", "-i"]
        if not comes_back:
            # Its interrupt is what makes virtio-user take a new connection.
            own.insert(0, "--no-lsc-interrupt")
        self.words = ["stdbuf", "-o0", program] + eal + ["--"] + own
        self.child = None

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        for path in self.sockets:
            if os.path.exists(path):
                os.remove(path)
        self.child = self.box.start(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self._until(b"testpmd> ", 60)
        self.ask("start")
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            try:
                self.child.stdin.write(b"quit\n")
                self.child.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.box.stop(self.child)

    def _until(self, end, seconds):
        text, deadline = b"", time.time() + seconds
        out = self.child.stdout
        while end not in text:
            if time.time() > deadline:
                raise GuestsError("testpmd does not answer: " + text[-400:].decode(errors="replace"))
            if select.select([out], [], [], 0.2)[0]:
                more = os.read(out.fileno(), 65536)
                if not more:
                    raise GuestsError("testpmd ended: " + text[-400:].decode(errors="replace"))
                self.log.write(more)
                text += more
        return text.decode(errors="replace")

    def ask(self, command):
        self.child.stdin.write(command.encode() + b"\n")
        return self._until(b"testpmd> ", 20)

    def counts(self):
        """Packets that A sent and B received."""
        sent = re.search(r"TX-packets:\s+(\d+)", self.ask("show port stats 1"))
        received = re.search(r"RX-packets:\s+(\d+)", self.ask("show port stats 2"))
        if not sent or not received:
            raise GuestsError("testpmd shows no statistics")
        return int(sent.group(1)), int(received.group(1))

    def wait_for_traffic(self, seconds=20):
        deadline = time.time() + seconds
        first = self.counts()[1]
        while self.counts()[1] < first + 10_000:
            if time.time() > deadline:
                raise GuestsError("nothing arrives at guest B")
            time.sleep(0.1)

    def hurry(self):
        """Both ends of the load before everything else on this machine."""
        threads.hurry(self.child.pid, threads.find(self.child.pid, ""))
