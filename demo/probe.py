"""What the machines try: pings, TCP connections, a connection that must not come about."""

import subprocess

import scene
from net import inside

# A server that echoes the digest of what it is sent; one line tells that it listens.
SERVER = """
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    c, _ = s.accept()
    c.settimeout(20)
    h = hashlib.sha256()
    try:
        while True:
            d = c.recv(1 << 16)
            if not d: break
            h.update(d)
        c.sendall(h.digest())
    except OSError:
        pass
    c.close()
"""

CLIENT = """
import hashlib, socket, sys
data = bytes(range(256)) * (int(sys.argv[3]) // 256)
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[4]))
s.settimeout(20)
s.sendall(data)
s.shutdown(socket.SHUT_WR)
got = b""
while len(got) < 32:
    d = s.recv(32)
    if not d: break
    got += d
sys.exit(0 if got == hashlib.sha256(data).digest() else 3)
"""


def ping(source, address, count=2, wait=3):
    """True when every ping is answered."""
    family = "-6" if ":" in address else "-4"
    command = inside(source.netns, "ping", family, "-q", "-c", str(count), "-i", "0.2", "-W", str(wait), address)
    return subprocess.run(command, capture_output=True).returncode == 0


class Server:
    """A server in a machine."""

    def __init__(self, machine, port, address="0.0.0.0"):
        command = inside(machine.netns, "python3", "-c", SERVER, address, str(port))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        start_new_session=True)

    def wait(self):
        """Waits until it listens."""
        self.process.stdout.readline()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def transfer(source, address, port, size=4 << 20, timeout=5):
    """True when `size` bytes arrive unharmed over one TCP connection."""
    command = inside(source.netns, "python3", "-c", CLIENT, address, str(port), str(size), str(timeout))
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def offloads(machine):
    """Segmentation and checksum offloads of a machine's device, as words."""
    done = subprocess.run(inside(machine.netns, "ethtool", "-k", "eth0"), capture_output=True, text=True)
    if done.returncode != 0:
        return None
    wanted = ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload")
    return {k.strip(): v.split()[0] for k, _, v in (l.partition(":") for l in done.stdout.splitlines())
            if k.strip() in wanted}


def same_host(a, b):
    """Do two machines run on one host?"""
    return a.host == b.host


def machine_of(address):
    """The machine that has an IPv4 address, or None."""
    return next((m for m in scene.MACHINES if m.ip == address), None)
