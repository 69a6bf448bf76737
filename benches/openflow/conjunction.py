"""Conjunctions: what 1,000 x 1,000 members cost beside 10 x 10."""
import os
import subprocess
import sys
import time

from rig import OURS, STOCK, WORK, sh, timed

# Frames between addresses that nobody has, of sources and destinations 10.1.0.0 and 10.2.0.0 and up: each pair is a flow of its own.
FRAMES = """
import random, socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("q1", 0))
n, end = int(sys.argv[2]), time.time() + float(sys.argv[1])
head = b"\\x02\\0\\0\\0\\0\\2\\x02\\0\\0\\0\\0\\1\\x08\\0" + b"E\\0\\0\\x2e\\0\\0\\0\\0\\x40\\x11\\0\\0"
while time.time() < end:
    for _ in range(64):
        a, b = random.randrange(n), random.randrange(n)
        try: s.send(head + struct.pack("!II", 0x0a010000 + a, 0x0a020000 + b) + struct.pack("!HHHH", random.randrange(65536), 9, 26, 0) + bytes(18))
        except OSError: pass
"""


def members(n):
    path = os.path.join(WORK, f"members-{n}.txt")
    with open(path, "w") as out:
        for i in range(n):
            out.write(f"priority=10,ip,nw_src=10.1.{i >> 8}.{i & 255},actions=conjunction(7,1/2)\n")
            out.write(f"priority=10,ip,nw_dst=10.2.{i >> 8}.{i & 255},actions=conjunction(7,2/2)\n")
        out.write("conj_id=7,ip,udp,tp_dst=9,tp_src=0/1,actions=output:2\n")
        out.write("conj_id=7,ip,udp,tp_dst=9,tp_src=1/1,actions=output:2\n")
    return path


def load(client, switch, n):
    sh(*STOCK, "del-flows", switch.socket)
    before = switch.memory()
    wall, _ = timed(switch, *client, "add-flows", switch.socket, members(n))
    return wall, switch.memory() - before


def decided(switch):
    """Packets for a second of the worker's time, nearly every one the first of its flow."""
    n = 10 if switch.members == 10 else 1000
    flood = subprocess.Popen(["ip", "netns", "exec", f"{switch.space}h1", sys.executable, "-c", FRAMES, "4", str(n)])
    time.sleep(0.5)
    packets, cpu = switch.received(), switch.worker_cpu()
    time.sleep(3)
    packets, cpu = switch.received() - packets, switch.worker_cpu() - cpu
    flood.wait()
    return packets / max(cpu, 0.01)


def measure(sluice, ovs, line):
    few, many = [], []
    ours, memory = load(OURS, sluice, 1000)
    for _ in range(2):
        for n, to in ((10, few), (1000, many)):
            load(OURS, sluice, n)
            sluice.members = n
            to.append(decided(sluice))
    theirs, _ = load(STOCK, ovs, 1000)
    line("conjunction of 1,000 x 1,000: loading its 2,000 members", ours, theirs, "s", ("<=", 1.0))
    line("its memory, growth of the process", memory / 1024, 0, "KiB", ("<=", 2.0), memory / 2000 / 1024, "per member, KiB")
    line("packets for a worker's second: 1,000 x 1,000 / 10 x 10", max(many) / 1000, max(few) / 1000, "k", (">=", 0.5))
    for s in (sluice, ovs):
        sh(*STOCK, "del-flows", s.socket)
