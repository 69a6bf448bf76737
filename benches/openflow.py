#!/usr/bin/env python3
"""How fast rules change and are told: sluiced beside ovs-vswitchd, in the same run, printed as ratios.

environment: SLUICE_BIN (folder of release programs), RULES (default 500000), WORK (scratch folder)."""
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

RULES = int(os.environ.get("RULES", "500000"))
BIN = os.environ.get("SLUICE_BIN", "target/release")
WORK = os.path.abspath(os.environ.get("WORK", "target/bench-openflow"))
TABLE_OF_100K = min(RULES, 100_000)
SPACE = f"slob{os.getpid()}"


def sh(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def wait(holds, what):
    end = time.time() + 30
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
            host = f"{self.space}h{i}"
            sh("ip", "netns", "add", host)
            sh("ip", "-n", self.space, "link", "add", f"p{i}", "type", "veth", "peer", "name", f"q{i}", "netns", host)
            for space, end in ((self.space, f"p{i}"), (host, f"q{i}")):
                sh("ip", "netns", "exec", space, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
                sh("ip", "-n", space, "link", "set", end, "up")
            sh("ip", "-n", host, "addr", "add", f"192.168.7.{i}/24", "dev", f"q{i}")
            sh("ip", "netns", "exec", host, "ethtool", "-K", f"q{i}", "tx", "off")

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
        vsctl = ["ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=20"]
        sh(*vsctl, "--no-wait", "init")
        self.daemon = self.start("ovs-vswitchd", f"--unixctl={self.folder}/v.ctl", f"unix:{self.folder}/db.sock")
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure"]
        for i in (1, 2):
            words += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", f"ofport_request={i}"]
        sh(*vsctl, *words)
        wait(lambda: os.path.exists(self.socket), "ovs-vswitchd")


def rules_file(count):
    """Rules of one mask and priority, as forwarding tables have them."""
    path = os.path.join(WORK, f"rules-{count}.txt")
    with open(path, "w") as out:
        for i in range(count):
            out.write(f"table=5,priority=100,ip,nw_dst=10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255},actions=output:{1 + i % 2}\n")
    return path


def timed(*words):
    start = time.perf_counter()
    sh(*words)
    return time.perf_counter() - start


OURS = [os.path.join(BIN, "sluice"), "ofctl"]
STOCK = ["ovs-ofctl"]


def fill(client, switch, path, bundle):
    sh(*STOCK, "del-flows", switch.socket)
    options = ["--bundle"] if bundle else []
    return timed(*client, *options, "add-flows", switch.socket, path)


class Connection:
    """OpenFlow 1.3 by hand: what is measured is the switch, not a client."""

    def __init__(self, switch):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(switch.socket)
        self.socket.sendall(struct.pack("!BBHI", 4, 0, 8, 1))
        self.buffer = b""
        self.receive()

    def receive(self):
        while True:
            if len(self.buffer) >= 8:
                length = struct.unpack("!H", self.buffer[2:4])[0]
                if len(self.buffer) >= length:
                    message, self.buffer = self.buffer[:length], self.buffer[length:]
                    return message
            self.buffer += self.socket.recv(1 << 16)

    def barrier(self):
        self.socket.sendall(struct.pack("!BBHI", 4, 20, 8, 77))
        while self.receive()[1] != 21:
            pass


def flow_mod(command, address, port):
    """Adds (0) or strictly deletes (4) table=5,priority=100,ip,nw_dst=ADDRESS,actions=output:PORT."""
    fields = struct.pack("!HBBH", 0x8000, 5 << 1, 2, 0x0800) + struct.pack("!HBBI", 0x8000, 12 << 1, 4, address)
    match = struct.pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    action = struct.pack("!HHIH6x", 0, 16, port, 0xffff)
    instructions = struct.pack("!HH4x", 4, 8 + len(action)) + action if command == 0 else b""
    body = struct.pack("!QQBBHHHIIIH2x", 0, 0, 5, command, 0, 0, 100, 0xffffffff, 0xffffffff, 0xffffffff, 0) + match + instructions
    return struct.pack("!BBHI", 4, 14, 8 + len(body), 2) + body


def latency(switch):
    """Milliseconds from sending one flow-mod to the answer of the barrier behind it."""
    c, times = Connection(switch), []
    for i in range(400):
        message = flow_mod(0 if i % 2 == 0 else 4, 0x0b000000 + i // 2, 1)
        start = time.perf_counter()
        c.socket.sendall(message)
        c.barrier()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]


def worker_ticks(switch):
    total = 0
    for task in os.listdir(f"/proc/{switch.daemon.pid}/task"):
        text = open(f"/proc/{switch.daemon.pid}/task/{task}/stat").read()
        name = text[text.index("(") + 1:text.rindex(")")]
        if name in ("worker",) or name.startswith("pmd"):
            fields = text[text.rindex(")") + 2:].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def received(switch):
    text = subprocess.run(["ip", "-n", f"{switch.space}h2", "-s", "link", "show", "q2"], capture_output=True, text=True).stdout
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "RX:" in line)
    return int(lines[at + 1].split()[1])


FLOOD = """
import socket, time, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("192.168.7.2", 9))
end = time.time() + float(sys.argv[1])
while time.time() < end:
    for _ in range(64):
        try: s.send(b"x" * 64)
        except OSError: pass
"""


def churn(switch, seconds):
    """Rule changes in a second for a while, a barrier every thousand; 0 seconds for none."""
    c = Connection(switch)
    batches = []
    for b in range(20):
        adds = b"".join(flow_mod(0, 0x0c000000 + b * 500 + i, 1) for i in range(500))
        batches.append(adds + b"".join(flow_mod(4, 0x0c000000 + b * 500 + i, 1) for i in range(500)))
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        c.socket.sendall(batches[done // 1000 % len(batches)])
        c.barrier()
        done += 1000
    return done / (time.perf_counter() - start)


def traffic(switch, changes):
    """Packets that arrive for each second of the worker's time, and changes in a second."""
    host = f"{switch.space}h1"
    mac = lambda i: open_mac(f"{switch.space}h{i}", f"q{i}")
    sh("ip", "-n", host, "neigh", "replace", "192.168.7.2", "lladdr", mac(2), "dev", "q1")
    flood = subprocess.Popen(["ip", "netns", "exec", host, sys.executable, "-c", FLOOD, "5"])
    time.sleep(0.5)
    packets, ticks = received(switch), worker_ticks(switch)
    rate = 0
    if changes:
        rate = churn(switch, 4)
    else:
        time.sleep(4)
    packets, ticks = received(switch) - packets, worker_ticks(switch) - ticks
    flood.wait()
    return packets / max(ticks, 0.01), rate


def open_mac(space, device):
    text = subprocess.run(["ip", "-n", space, "-br", "link", "show", device], capture_output=True, text=True).stdout
    return text.split()[2]


def line(what, ours, theirs, unit, aim=""):
    ratio = f"{ours / theirs:6.2f}" if theirs else "     -"
    other = f"{theirs:10.3f}" if theirs else "         -"
    print(f"{what:58} {ours:10.3f} {other} {ratio}  {unit:4} {aim}", flush=True)


def main():
    os.makedirs(WORK, exist_ok=True)
    many, table = rules_file(RULES), rules_file(TABLE_OF_100K)
    switches = []
    try:
        sluice, ovs = Sluice(), OpenVSwitch()
        switches = [sluice, ovs]
        print(f"{'':58} {'sluice':>10} {'ovs':>10} {'ratio':>6}")
        theirs = fill(STOCK, ovs, many, False)
        before = sluice.memory()
        ours = fill(OURS, sluice, many, False)
        per_rule = (sluice.memory() - before) / RULES
        line(f"{RULES} rules, own client pipelined / stock", ours, theirs, "s", "aim 0.25")
        line(f"{RULES} rules, stock client both", fill(STOCK, sluice, many, False), theirs, "s", "aim 1")
        theirs = fill(STOCK, ovs, many, True)
        line(f"{RULES} rules in a bundle, own client / stock", fill(OURS, sluice, many, True), theirs, "s", "aim 0.5")
        line(f"{RULES} rules in a bundle, stock client both", fill(STOCK, sluice, many, True), theirs, "s", "aim 1")
        line("memory for a rule", per_rule, 0, "B", "aim 1024")
        for s in switches:
            fill(OURS if s is sluice else STOCK, s, table, True)
        dump = [timed(*STOCK, "dump-flows", s.socket) for s in switches]
        line(f"dump of {TABLE_OF_100K} rules, stock client", dump[0], dump[1], "s")
        line(f"dump of {TABLE_OF_100K} rules, own client", timed(*OURS, "dump-flows", sluice.socket), dump[1], "s", "aim 1 s")
        (median, worst), (other, other_worst) = latency(sluice), latency(ovs)
        line(f"one flow-mod in a table of {TABLE_OF_100K}, median", median, other, "ms", "aim 1 ms")
        line(f"one flow-mod in a table of {TABLE_OF_100K}, 99th percentile", worst, other_worst, "ms")
        for s in switches:
            sh(*STOCK, "add-flow", s.socket, "in_port=1,actions=output:2")
        idle, _ = traffic(sluice, False)
        busy, rate = traffic(sluice, True)
        other = churn(ovs, 4)
        line("rule changes in a second while packets flow", rate / 1000, other / 1000, "k/s", "aim 100 k/s")
        line("packets for a worker's second: with changes / without", busy / 1000, idle / 1000, "k", "aim 0.8 (second column: idle)")
    finally:
        for s in switches:
            s.stop()


main()
