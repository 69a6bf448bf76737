"""OpenFlow 1.3 by hand: what is measured is the switch, not a client."""
import socket
import struct
import time


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
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

    def ask_barrier(self):
        self.socket.sendall(struct.pack("!BBHI", 4, 20, 8, 77))

    def await_barrier(self):
        while self.receive()[1] != 21:
            pass

    def barrier(self):
        self.ask_barrier()
        self.await_barrier()


def flow_mod(command, address, port):
    """Adds (0) or strictly deletes (4) table=5,priority=100,ip,nw_dst=ADDRESS,actions=output:PORT."""
    fields = struct.pack("!HBBH", 0x8000, 5 << 1, 2, 0x0800) + struct.pack("!HBBI", 0x8000, 12 << 1, 4, address)
    match = struct.pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    action = struct.pack("!HHIH6x", 0, 16, port, 0xffff)
    instructions = struct.pack("!HH4x", 4, 8 + len(action)) + action if command == 0 else b""
    body = struct.pack("!QQBBHHHIIIH2x", 0, 0, 5, command, 0, 0, 100, 0xffffffff, 0xffffffff, 0xffffffff, 0) + match + instructions
    return struct.pack("!BBHI", 4, 14, 8 + len(body), 2) + body


def dump_request():
    """All rules."""
    body = struct.pack("!HH4x", 1, 0) + struct.pack("!B3xII4xQQ", 0xff, 0xffffffff, 0xffffffff, 0, 0) + struct.pack("!HH4x", 1, 4)
    return struct.pack("!BBHI", 4, 18, 8 + len(body), 3) + body


def latency(switch):
    """Milliseconds from sending one flow-mod to the answer of the barrier behind it, sorted."""
    c, times = Connection(switch.socket), []
    for i in range(400):
        message = flow_mod(0 if i % 2 == 0 else 4, 0x0b000000 + i // 2, 1)
        start = time.perf_counter()
        c.socket.sendall(message)
        c.barrier()
        times.append((time.perf_counter() - start) * 1000)
    return sorted(times)


# Batches that are under way: enough for the switch never to wait for us.
AHEAD = 4


def churn(switch, seconds, most=None):
    """Rule changes in a second for a while, a barrier behind every thousand; no more than `most`, where it is given.
    What is sent was written beforehand."""
    c = Connection(switch.socket)
    batches = []
    for b in range(20):
        adds = b"".join(flow_mod(0, 0x0c000000 + b * 500 + i, 1) for i in range(500))
        batches.append(adds + b"".join(flow_mod(4, 0x0c000000 + b * 500 + i, 1) for i in range(500)))
    start, sent, done = time.perf_counter(), 0, 0
    early = lambda: sent * 1000 / most - (time.perf_counter() - start) if most else 0
    while time.perf_counter() - start < seconds:
        if sent == done and early() > 0:
            time.sleep(max(0, early()))
        while sent < done + AHEAD and early() <= 0:
            c.socket.sendall(batches[sent % len(batches)])
            c.ask_barrier()
            sent += 1
        if sent > done:
            c.await_barrier()
            done += 1
    took, answered = time.perf_counter() - start, done
    while done < sent:
        c.await_barrier()
        done += 1
    return answered * 1000 / took
