"""Reads and writes captures, and looks into VXLAN."""

import struct
from collections import namedtuple

Inner = namedtuple("Inner", "outer_src vni frame")


def read(path):
    """The frames of a little-endian pcap file."""
    with open(path, "rb") as f:
        data = f.read()
    at, frames = 24, []
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def write(path, frames):
    """A pcap file of these frames."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for n, frame in enumerate(frames):
            f.write(struct.pack("<IIII", 1, n, len(frame), len(frame)) + frame)


def vxlan(frame):
    """The frame inside a VXLAN packet over IPv4, or None."""
    if len(frame) < 50 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    udp = 14 + (frame[14] & 15) * 4
    if frame[udp + 2:udp + 4] != struct.pack("!H", 4789) or len(frame) < udp + 30:
        return None
    source = ".".join(str(b) for b in frame[26:30])
    vni = int.from_bytes(frame[udp + 12:udp + 15], "big")
    return Inner(source, vni, frame[udp + 16:])


def arp_target(frame):
    """The address that an ARP broadcast asks for or announces, or None."""
    if len(frame) < 42 or frame[:6] != b"\xff" * 6 or frame[12:14] != b"\x08\x06":
        return None
    return ".".join(str(b) for b in frame[38:42])
