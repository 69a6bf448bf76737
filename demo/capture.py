"""Records every frame of some devices until SIGTERM, as pcap files. Needs no tcpdump.

usage: capture.py DIRECTORY DEVICE...
"""

import select
import signal
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
SNAP = 256


def main(directory, devices):
    running = []
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    sockets = {}
    for device in devices:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        s.bind((device, 0))
        s.setblocking(False)
        out = open(f"{directory}/{device}.pcap", "wb")
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP, 1))
        sockets[s] = out
    running.append(True)
    print("ready", flush=True)
    while running:
        ready, _, _ = select.select(list(sockets), [], [], 0.2)
        for s in ready:
            drain(s, sockets[s])
    lost = 0
    for s, out in sockets.items():
        drain(s, out)
        lost += struct.unpack("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        out.close()
    print(f"lost {lost}", flush=True)


def drain(s, out):
    for _ in range(4096):
        try:
            frame = s.recv(65536)
        except BlockingIOError:
            return
        now = time.time()
        kept = frame[:SNAP]
        out.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(kept), len(frame)) + kept)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
