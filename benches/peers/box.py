"""The box that other switches run in: a network namespace, memory, and an end for every process.

Purpose: nothing that was started or changed here outlives the run, also after Ctrl-C or an error.
Invariant: what `Box` changed is put back by `close`; children die with this process.
Deliberately does not know: which switches.
"""

import ctypes
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

HUGEPAGES = "/proc/sys/vm/nr_hugepages"
PREFIX = "sluice-bench-"
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


class Box:
    """Use with `with`."""

    def __init__(self, root, hugepages_wanted, mount=False):
        self.root, self.mount, self.huge = root, mount, None
        self.netns = f"{PREFIX}{os.getpid()}"
        self.children = []
        self.hugepages_before = None
        self.hugepages = 0
        self.wanted = hugepages_wanted
        # Without root there is no namespace: nothing but our own switch can run then.
        self.usable = os.geteuid() == 0 and shutil.which("ip") is not None

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        if not self.usable:
            return self
        self._remove_leftovers()
        try:
            subprocess.run(["ip", "netns", "add", self.netns], check=True)
            subprocess.run(["ip", "-n", self.netns, "link", "set", "lo", "up"], check=True)
            self._get_hugepages()
            if self.mount and self.hugepages:
                self._mount_hugepages()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _remove_leftovers(self):
        """Namespaces of runs that were killed."""
        for path in glob.glob(f"/run/netns/{PREFIX}*"):
            if not alive(path.rsplit("-", 1)[1]):
                subprocess.run(["ip", "netns", "del", os.path.basename(path)], check=False)

    def _get_hugepages(self):
        """As many as wanted, or none: then DPDK runs on ordinary pages."""
        try:
            with open(HUGEPAGES) as f:
                self.hugepages_before = int(f.read())
            if self._free_hugepages() < self.wanted:
                self._write_hugepages(self.hugepages_before + self.wanted)
            if self._free_hugepages() >= self.wanted:
                self.hugepages = self.wanted
            else:
                self._write_hugepages(self.hugepages_before)
        except OSError:
            self.hugepages = 0

    def _mount_hugepages(self):
        """For memory that is shared by descriptors."""
        self.huge = os.path.realpath(tempfile.mkdtemp(prefix=PREFIX))
        subprocess.run(["mount", "-t", "hugetlbfs", "none", self.huge, "-o", "pagesize=2M"], check=True)

    @staticmethod
    def _free_hugepages():
        with open("/proc/meminfo") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("HugePages_Free"))

    @staticmethod
    def _write_hugepages(n):
        with open(HUGEPAGES, "w") as f:
            f.write(str(n))

    def environment(self):
        env = dict(os.environ)
        env["LD_LIBRARY_PATH"] = f"{self.root}/usr/lib/x86_64-linux-gnu"
        env["PATH"] = f"{self.root}/usr/bin:{self.root}/usr/sbin:{env.get('PATH', '')}:/usr/sbin:/sbin"
        return env

    def plugins(self, *more):
        """Arguments that make DPDK load the drivers that are used and what they rest on."""
        words = []
        for name in ("bus_vdev", "mempool_ring", "net_pcap", "net_null", *more):
            places = (self.root, "")
            found = [f for p in places for f in sorted(glob.glob(f"{p}/usr/lib/x86_64-linux-gnu/dpdk/pmds-*/librte_{name}.so.*"))]
            if found:
                words += ["-d", found[0]]
        return words

    def memory(self, megabytes):
        """EAL's arguments for memory."""
        return ["--in-memory"] if self.hugepages else ["--no-huge", "--legacy-mem", "-m", str(megabytes)]

    def start(self, words, **more):
        """A child in the namespace that ends with us."""
        words = ["ip", "netns", "exec", self.netns] + words
        child = subprocess.Popen(words, env=self.environment(), preexec_fn=die_with_parent, **more)
        self.children.append(child)
        return child

    def stop(self, child):
        if child in self.children:
            self.children.remove(child)
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def close(self):
        for child in list(self.children):
            self.stop(child)
        if self.usable:
            subprocess.run(["ip", "netns", "del", self.netns], check=False, stderr=subprocess.DEVNULL)
        if self.huge:
            subprocess.run(["umount", self.huge], check=False)
            os.rmdir(self.huge)
            self.huge = None
        if self.hugepages_before is not None and self.hugepages:
            time.sleep(0.2)
            self._write_hugepages(self.hugepages_before)
