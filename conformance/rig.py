"""Namespaces, links and processes of one run; everything is gone afterwards."""
import os
import signal
import subprocess
import sys
import time

WORK = os.environ.get("WORK", "target/conformance")


def sh(*words):
    """Runs a command that must succeed."""
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait(holds, what, seconds=20):
    """Waits until something holds."""
    end = time.time() + seconds
    while not holds():
        if time.time() > end:
            sys.exit(f"{what} did not come within {seconds} seconds")
        time.sleep(0.05)


class Rig:
    """A scratch folder with namespaces whose names nobody else has."""

    def __init__(self, name):
        self.prefix = f"slcf{os.getpid()}"
        self.folder = os.path.join(os.path.abspath(WORK), name)
        self.processes, self.spaces = [], []
        os.makedirs(self.folder, exist_ok=True)

    def __enter__(self):
        return self

    def space(self, name):
        """A new namespace."""
        name = self.prefix + name
        sh("ip", "netns", "add", name)
        self.spaces.append(name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def link(self, space, end, other_space, other_end, quiet=True):
        """A pair of devices without address configuration, and without offloads where `quiet`."""
        sh("ip", "-n", space, "link", "add", end, "type", "veth", "peer", "name", other_end, "netns", other_space)
        for s, e in ((space, end), (other_space, other_end)):
            sh("ip", "netns", "exec", s, "sysctl", "-qw", f"net.ipv6.conf.{e}.disable_ipv6=1")
            sh("ip", "-n", s, "link", "set", e, "up")
            if quiet:
                words = "tx off rx off tso off gso off gro off txvlan off rxvlan off".split()
                sh("ip", "netns", "exec", s, "ethtool", "-K", e, *words)

    def start(self, space, log, *words, env=None):
        """Starts a program in a namespace; what it prints goes to a file."""
        full = ("ip", "netns", "exec", space) + words
        with open(os.path.join(self.folder, log), "w") as out:
            process = subprocess.Popen(full, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env)
        self.processes.append(process)
        return process

    def switch(self, space, bridge, number, ports, version, controller, log):
        """A sluiced with one bridge that follows one controller."""
        text = f'[[bridge]]\nname = "{bridge}"\nfail_mode = "secure"\ndatapath_id = "{number:016x}"\n'
        text += f'protocols = ["OpenFlow{version}"]\ncontrollers = ["{controller}"]\n'
        for i, port in enumerate(ports, 1):
            text += f'[[bridge.port]]\nname = "{port}"\nofport_request = {i}\n'
        config = os.path.join(self.folder, bridge + ".toml")
        with open(config, "w") as out:
            out.write(text)
        rundir = os.path.join(self.folder, bridge + ".run")
        self.start(space, log, os.environ["SLUICED"], "--config", config, "--rundir", rundir)
        return rundir

    def listens(self, space, port):
        """Whether somebody listens on a TCP port."""
        words = ["ip", "netns", "exec", space, "ss", "-Hltn", f"sport = :{port}"]
        return bool(subprocess.run(words, capture_output=True, text=True).stdout.strip())

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)
