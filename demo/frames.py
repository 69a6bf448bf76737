"""Ethernet frames, made and recognised."""

import socket
import struct


def checksum(data):
    """The Internet checksum."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(mac):
    return bytes(int(part, 16) for part in mac.split(":"))


def ipv4(source, target, protocol, payload):
    """A frame from one machine to another with this IPv4 payload."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
                       socket.inet_aton(source.ip), socket.inet_aton(target.ip))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return mac_bytes(target.mac) + mac_bytes(source.mac) + b"\x08\x00" + head + payload


def echo_request(source, target):
    """A ping."""
    message = struct.pack("!BBHHH", 8, 0, 0, source.number, target.number) + b"sluice demo"
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return ipv4(source, target, 1, message)


def tcp_syn(source, target, port):
    """The first packet of a TCP connection."""
    segment = struct.pack("!HHIIBBHHH", 40000 + source.number, port, 1, 0, 0x50, 2, 65535, 0, 0)
    pseudo = socket.inet_aton(source.ip) + socket.inet_aton(target.ip) + struct.pack("!BBH", 0, 6, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    return ipv4(source, target, 6, segment)


def arp(source, address):
    """A question to everybody: who has this address?"""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    body += mac_bytes(source.mac) + socket.inet_aton(source.ip) + bytes(6) + socket.inet_aton(address)
    return b"\xff" * 6 + mac_bytes(source.mac) + b"\x08\x06" + body


def arp_reply(frame):
    """(receiver's MAC, address, its MAC) of an ARP reply, or None."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x06" or frame[20:22] != b"\0\x02":
        return None
    text = ":".join(f"{b:02x}" for b in frame[22:28])
    return ":".join(f"{b:02x}" for b in frame[:6]), socket.inet_ntoa(frame[28:32]), text


def outer_target(frame):
    """The IPv4 address that a packet goes to."""
    return socket.inet_ntoa(frame[30:34])
