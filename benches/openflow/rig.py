"""Two switches, each in a namespace of its own, and what is asked of their processes."""
import os
import resource
import signal
import subprocess
import sys
import time

BIN = os.environ.get("SLUICE_BIN", "target/release")
WORK = os.path.abspath(os.environ.get("WORK", "target/bench-openflow"))
SPACE = f"slob{os.getpid()}"
TICKS = os.sysconf("SC_CLK_TCK")

OURS = [os.path.join(BIN, "sluice"), "ofctl"]
STOCK = ["ovs-ofctl"]


def sh(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def wait(holds, what):
    end = time.time() + 60
    while not holds():
        if time.time() > end:
            sys.exit(f"{what} did not come")
        time.sleep(0.02)


class Switch:
    """A switch in a namespace of its own, with ports p1 and p2 whose other ends are q1 and q2."""

    def __init__(self, name):
        self.name, self.space, self.processes = name, SPACE + name[0], []
        self.folder = os.path.join(WORK, name)
        subprocess.run(["rm", "-rf", self.folder])
        os.makedirs(self.folder)
        sh("ip", "netns", "add", self.space)
        sh("ip", "-n", self.space, "link", "set", "lo", "up")
        for i in (1, 2):
            self.host(i)
        for i in (1, 2):
            # Nobody has to ask who the other one is.
            mac = self.mac(3 - i)
            sh("ip", "-n", f"{self.space}h{i}", "neigh", "replace", f"192.168.7.{3 - i}", "lladdr", mac, "dev", f"q{i}")

    def host(self, i):
        host = f"{self.space}h{i}"
        sh("ip", "netns", "add", host)
        sh("ip", "-n", self.space, "link", "add", f"p{i}", "type", "veth", "peer", "name", f"q{i}", "netns", host)
        for space, end in ((self.space, f"p{i}"), (host, f"q{i}")):
            sh("ip", "netns", "exec", space, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            sh("ip", "-n", space, "link", "set", end, "up")
        sh("ip", "-n", host, "addr", "add", f"192.168.7.{i}/24", "dev", f"q{i}")
        sh("ip", "netns", "exec", host, "ethtool", "-K", f"q{i}", "tx", "off")

    def mac(self, i):
        words = ["ip", "-n", f"{self.space}h{i}", "-br", "link", "show", f"q{i}"]
        return subprocess.run(words, capture_output=True, text=True).stdout.split()[2]

    def start(self, *words):
        log = open(os.path.join(self.folder, os.path.basename(words[0]) + ".log"), "w")
        env = dict(os.environ, OVS_RUNDIR=self.folder)
        process = subprocess.Popen(("ip", "netns", "exec", self.space) + words, stdout=log, stderr=log, env=env)
        self.processes.append(process)
        return process

    @property
    def socket(self):
        return os.path.join(self.folder, "br0.mgmt")

    def memory(self):
        for line in open(f"/proc/{self.daemon.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024

    def cpu(self):
        """Seconds that the daemon has run."""
        return seconds_of(f"/proc/{self.daemon.pid}/stat")

    def worker_cpu(self):
        """Seconds that the threads have run which move packets."""
        total = 0
        for task in os.listdir(f"/proc/{self.daemon.pid}/task"):
            path = f"/proc/{self.daemon.pid}/task/{task}/stat"
            name = open(path).read().split("(")[1].rsplit(")", 1)[0]
            if name.startswith(("worker", "pmd")):
                total += seconds_of(path)
        return total

    def received(self):
        """Packets that came out at the second host."""
        text = subprocess.run(["ip", "-n", f"{self.space}h2", "-s", "link", "show", "q2"], capture_output=True, text=True).stdout
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if "RX:" in line)
        return int(lines[at + 1].split()[1])

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        for space in (self.space, f"{self.space}h1", f"{self.space}h2"):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


class Sluice(Switch):
    def __init__(self):
        super().__init__("sluice")
        text = '[[bridge]]\nname = "br0"\nfail_mode = "secure"\n'
        for i in (1, 2):
            text += f'[[bridge.port]]\nname = "p{i}"\nofport_request = {i}\n'
        config = os.path.join(self.folder, "node.toml")
        with open(config, "w") as out:
            out.write(text)
        self.daemon = self.start(os.path.join(BIN, "sluiced"), "--config", config, "--rundir", self.folder)
        wait(lambda: os.path.exists(self.socket), "sluiced")


class OpenVSwitch(Switch):
    def __init__(self):
        super().__init__("ovs")
        database = self.folder + "/conf.db"
        sh("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.start("ovsdb-server", f"--remote=punix:{self.folder}/db.sock", f"--unixctl={self.folder}/db.ctl", database)
        wait(lambda: os.path.exists(self.folder + "/db.sock"), "ovsdb-server")
        vsctl = ["ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=60", "--retry"]
        sh(*vsctl, "--no-wait", "init")
        self.daemon = self.start("ovs-vswitchd", f"--unixctl={self.folder}/v.ctl", f"unix:{self.folder}/db.sock")
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure"]
        for i in (1, 2):
            words += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", f"ofport_request={i}"]
        sh(*vsctl, *words)
        wait(lambda: os.path.exists(self.socket), "ovs-vswitchd")


def seconds_of(stat):
    fields = open(stat).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def timed(switch, *words):
    """Wall time of a command, and CPU time of it and the daemon together."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, start = switch.cpu(), time.perf_counter()
    sh(*words)
    wall = time.perf_counter() - start
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = now.ru_utime + now.ru_stime - children.ru_utime - children.ru_stime
    return wall, client + switch.cpu() - cpu
