"""DPDK's own test program forwarding from a capture to nowhere: the limit that the source and a bare loop set.

Purpose: packets per CPU second of its forwarding thread.
Invariant: the same copy from memory as the source of OVS-DPDK.
"""

import os
import re
import select
import subprocess
import time

import threads

MBUFS = 262_144
MEMORY_MB = 1024


class TestpmdError(Exception):
    pass


class Testpmd:
    """Use with `with`."""

    def __init__(self, box, core, capture):
        main = min(os.sched_getaffinity(0) - {core}, default=None)
        if main is None:
            raise TestpmdError("testpmd needs two processors")
        eal = ["-l", f"{main},{core}", f"--main-lcore={main}", "--no-pci", "--no-telemetry",
               f"--file-prefix=pmd{os.getpid()}"] + box.memory(MEMORY_MB) + box.plugins()
        eal += ["--vdev", f"net_pcap0,rx_pcap={os.path.abspath(capture)},infinite_rx=1", "--vdev", "net_null0,no-rx=1"]
        own = ["--forward-mode=io", "--nb-cores=1", "--no-lsc-interrupt", f"--total-num-mbufs={MBUFS}", "-i"]
        self.box, self.words = box, ["stdbuf", "-o0", self.program(box)] + eal + ["--"] + own
        self.child = None

    @staticmethod
    def program(box):
        path = f"{box.root}/usr/bin/dpdk-testpmd"
        return path if os.path.exists(path) else None

    def __enter__(self):
        self.child = self.box.start(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self._answer(60)
            self._ask("start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.box.stop(self.child)

    def _ask(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()
        return self._answer(15)

    def _answer(self, seconds):
        """All that is printed up to the next prompt."""
        text, end, out = b"", time.time() + seconds, self.child.stdout.fileno()
        while not text.endswith(b"testpmd> "):
            ready, _, _ = select.select([out], [], [], max(0, end - time.time()))
            piece = os.read(out, 65536) if ready else b""
            if not piece:
                raise TestpmdError(text.decode(errors="replace")[-300:])
            text += piece
        return text.decode(errors="replace")

    def _received(self):
        found = re.search(r"RX-packets:\s+(\d+)", self._ask("show port stats 0"))
        return int(found.group(1)) if found else 0

    def window(self, seconds):
        pid = self.child.pid
        workers = threads.find(pid, ("lcore-worker", "rte-worker"))
        time.sleep(0.3)
        before, ns_before = self._received(), threads.cpu_ns(pid, workers)
        time.sleep(seconds)
        after, ns_after = self._received(), threads.cpu_ns(pid, workers)
        if after <= before or ns_after <= ns_before:
            raise TestpmdError("no packets in a window")
        return after - before, ns_after - ns_before
