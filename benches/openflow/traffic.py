"""Packets beside what controllers do."""
import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import time

import speak
from rig import sh

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


def rate(switch, changes, most=None, seconds=2):
    """Packets that arrive for each second of the worker's time, and rule changes in a second (no more than `most`)."""
    flood = subprocess.Popen(["ip", "netns", "exec", f"{switch.space}h1", sys.executable, "-c", FLOOD, str(seconds + 1)])
    time.sleep(0.5)
    packets, cpu = switch.received(), switch.worker_cpu()
    changed = 0
    if changes:
        changed = speak.churn(switch, seconds, most)
    else:
        time.sleep(seconds)
    packets, cpu = switch.received() - packets, switch.worker_cpu() - cpu
    flood.wait()
    return packets / max(cpu, 0.01), changed


# What a hostile controller does with the socket that it is given, for so many seconds.
HOSTILE = {
    # Asks and asks, changes rules and never reads.
    "floods": """
while time.time() < end:
    c = fresh()
    try:
        for i in range(4000): c.sendall(speak.flow_mod(0 if i % 2 == 0 else 4, 0x0d000000 + i // 2, 1) * 8 + echo)
    except OSError: pass
    c.close()
""",
    # Asks for everything, many times over, and reads nothing.
    "stalls": """
held = []
while time.time() < end:
    c = fresh()
    try:
        for _ in range(200): c.sendall(speak.dump_request())
    except OSError: pass
    held.append(c)
    if len(held) > 40: held.pop(0).close()
    time.sleep(0.02)
""",
    # Sends halves of messages, and waits.
    "sends halves": """
held = []
while time.time() < end:
    c = fresh()
    try: c.sendall(speak.flow_mod(0, 1, 1)[:random.randrange(1, 60)])
    except OSError: pass
    held.append(c)
    if len(held) > 200: held.pop(0).close()
    time.sleep(0.001)
""",
    # Dies in the middle of things, again and again.
    "dies": """
while time.time() < end:
    c = fresh()
    try: c.sendall(speak.flow_mod(0, 1, 1) * 20 + speak.dump_request() + b"\\x04\\x0e\\x00")
    except OSError: pass
    c.close()
""",
}

HOSTILE_FRONT = """
import random, socket, struct, sys, time
sys.path.insert(0, sys.argv[1]); import speak
end = time.time() + float(sys.argv[3])
echo = struct.pack("!BBHI", 4, 2, 1008, 9) + bytes(1000)
def fresh():
    c = socket.socket(socket.AF_UNIX); c.settimeout(0.2)
    try: c.connect(sys.argv[2]); c.sendall(struct.pack("!BBHI", 4, 0, 8, 1))
    except OSError: pass
    return c
"""

# Takes connections and what is sent on them, as a switch would, and does nothing with it: the same load of
# the machine, without a switch that it could disturb.
SINK = """
import os, selectors, socket, sys
s = selectors.DefaultSelector(); l = socket.socket(socket.AF_UNIX); l.bind(sys.argv[1]); l.listen(512)
l.setblocking(False); s.register(l, 1)
while True:
    for key, _ in s.select():
        if key.fileobj is l:
            try: c, _ = l.accept()
            except OSError: continue
            c.setblocking(False); s.register(c, 1)
        else:
            try: more = key.fileobj.recv(1 << 16)
            except BlockingIOError: continue
            except OSError: more = b""
            if not more: s.unregister(key.fileobj); key.fileobj.close()
"""


def socket_in(space):
    """A UDP socket in a namespace; the process stays where it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as here, open(f"/var/run/netns/{space}") as there:
        if libc.setns(there.fileno(), 0) != 0:
            sys.exit(f"cannot enter {space}")
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        libc.setns(here.fileno(), 0)
    return made


@contextlib.contextmanager
def at_once():
    """The clock's own process runs as soon as it can: what it waits for is the switch."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def delays(switch, seconds=4):
    """Microseconds from one host to the other for packets a few hundred microseconds apart, sorted; and how many were lost."""
    with at_once():
        return clock(switch, seconds)


def clock(switch, seconds):
    sender, receiver = socket_in(f"{switch.space}h1"), socket_in(f"{switch.space}h2")
    receiver.bind(("192.168.7.2", 4242))
    receiver.settimeout(0.5)
    sender.connect(("192.168.7.2", 4242))
    times, lost, end = [], 0, time.time() + seconds
    while time.time() < end:
        start = time.perf_counter()
        sender.send(b"x" * 64)
        try:
            receiver.recv(100)
            times.append((time.perf_counter() - start) * 1e6)
        except socket.timeout:
            lost += 1
        time.sleep(0.0003)
    return sorted(times), lost


def under_attack(switch, how, path):
    """Delays while a hostile controller does its worst at a socket."""
    here = os.path.dirname(os.path.abspath(__file__))
    code = HOSTILE_FRONT + HOSTILE[how]
    hostile = subprocess.Popen([sys.executable, "-c", code, here, path, "5"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    result = delays(switch)
    hostile.wait()
    return result


def sink(path):
    if os.path.exists(path):
        os.remove(path)
    process = subprocess.Popen([sys.executable, "-c", SINK, path], stderr=subprocess.DEVNULL)
    while not os.path.exists(path):
        time.sleep(0.02)
    return process
