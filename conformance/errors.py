#!/usr/bin/env python3
"""Wrong and random messages to sluiced and to Open vSwitch: both refuse with the same error, or both take it.

usage: errors.py [SEED [COUNT]]
environment: SLUICED, WORK."""
import os
import random
import socket
import struct
import subprocess
import sys

from rig import Rig, sh, wait

VERSIONS = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}
BARRIER = {1: (18, 19)}


class Peer:
    """A connection by hand."""

    def __init__(self, path, version):
        self.version = version
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.socket.sendall(struct.pack("!BBHIHHI", version, 0, 16, 1, 1, 8, 1 << version))
        self.buffer = b""
        self.receive()

    def receive(self):
        while True:
            if len(self.buffer) >= 8:
                length = struct.unpack("!H", self.buffer[2:4])[0]
                if len(self.buffer) >= length:
                    message, self.buffer = self.buffer[:length], self.buffer[length:]
                    return message
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.buffer += more

    def ask(self, message):
        """The first answer: None for none, the error's type, code and experimenter, or the answer's type."""
        ask, answer = BARRIER.get(self.version, (20, 21))
        self.socket.sendall(message + struct.pack("!BBHI", self.version, ask, 8, 0x77777777))
        first = None
        while True:
            reply = self.receive()
            kind, xid = reply[1], struct.unpack("!I", reply[4:8])[0]
            if kind == answer and xid == 0x77777777:
                return first
            if kind == 1 and first is None:
                code = struct.unpack("!HH", reply[8:12])
                first = ("error",) + code + (struct.unpack("!I", reply[12:16])[0] if code[0] in (0xffff, 0xb0c2) else 0,)
            elif kind == 2:
                self.socket.sendall(bytes([self.version, 3]) + reply[2:])
            elif first is None and xid == struct.unpack("!I", message[4:8])[0]:
                first = ("answer", kind)


def seeds(version):
    """Valid messages, by ovs-ofctl, to be bent."""
    flows = ["tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=output:1,load:5->NXM_NX_REG1[]", "in_port=1,dl_vlan=5,actions=strip_vlan,normal",
             "table=3,priority=7,ip,actions=mod_nw_tos:32,resubmit(,4),controller", "arp,arp_tpa=1.2.3.4,actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
             "ipv6,nw_proto=58,actions=ct(commit,zone=5,table=6)", "cookie=5,hard_timeout=6,udp,actions=multipath(symmetric_l4,0,hrw,4,0,NXM_NX_REG0[])"]
    name = "OpenFlow1" + VERSIONS[version][-1]
    out = []
    for flow in flows:
        text = subprocess.run(["ovs-ofctl", "-O", name, "-mmm", "parse-flow", flow], capture_output=True, text=True).stdout
        data = bytearray()
        for line in text.splitlines():
            parts = line.split("  ")
            if len(line) > 9 and line[:8].isalnum() and line[8:10] == "  ":
                data += bytes.fromhex(line[10:58].replace("-", " "))
        if len(data) >= 8:
            out.append(bytes(data))
    return out


def bend(r, message):
    """Changes a few bytes; the length stays true most of the time."""
    data = bytearray(message)
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        if len(data) > 8:
            at = r.randrange(8, len(data))
            data[at] = r.choice([0, 1, 2, 4, 8, 0x10, 0x20, 0x80, 0xff, r.randrange(256), data[at] ^ 1 << r.randrange(8)])
    if r.random() < 0.15:
        data = data[:r.randrange(8, len(data) + 1)]
    if r.random() < 0.1:
        data += bytes(r.choice([1, 4, 8]))
    data[2:4] = struct.pack("!H", len(data))
    return bytes(data)


def made_up(r, version):
    """A header of some type with a small body."""
    body = bytes(r.choice([0, 0, 0, 1, 2, 0xff, r.randrange(256)]) for _ in range(r.choice([0, 4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72])))
    kind = r.choice([k for k in range(36) if k not in (0, 2, 3)])
    return struct.pack("!BBHI", version, kind, 8 + len(body), 5) + body


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with Rig("errors") as rig:
        ours, theirs = rig.space("a"), rig.space("b")
        for space in (ours, theirs):
            for i in (1, 2, 3):
                sh("ip", "-n", space, "link", "add", f"p{i}", "type", "veth", "peer", "name", f"q{i}")
        text = '[[bridge]]\nname = "br0"\nfail_mode = "secure"\n'
        for i in (1, 2, 3):
            text += f'[[bridge.port]]\nname = "p{i}"\nofport_request = {i}\n'
        open(rig.folder + "/node.toml", "w").write(text)
        rig.start(ours, "sluiced.log", os.environ["SLUICED"], "--config", rig.folder + "/node.toml", "--rundir", rig.folder + "/run")
        folder = rig.folder + "/ovs"
        subprocess.run(["rm", "-rf", folder])
        os.makedirs(folder)
        sh("ovsdb-tool", "create", folder + "/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        rig.start(theirs, "ovsdb.log", "ovsdb-server", f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/db.ctl", folder + "/conf.db")
        wait(lambda: os.path.exists(folder + "/db.sock"), "the database")
        vsctl = ["ovs-vsctl", f"--db=unix:{folder}/db.sock", "--timeout=20"]
        sh(*vsctl, "--no-wait", "init")
        rig.start(theirs, "vswitchd.log", "ovs-vswitchd", f"--unixctl={folder}/v.ctl", f"unix:{folder}/db.sock", env=dict(os.environ, OVS_RUNDIR=folder))
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure",
                 "protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"]
        for i in (1, 2, 3):
            words += ["--", "add-port", "br0", f"p{i}", "--", "set", "interface", f"p{i}", f"ofport_request={i}"]
        sh(*vsctl, *words)
        paths = rig.folder + "/run/br0.mgmt", folder + "/br0.mgmt"
        wait(lambda: all(os.path.exists(p) for p in paths), "both switches")
        r, same, differ = random.Random(seed), 0, {}
        for version in VERSIONS:
            peers = [Peer(p, version) for p in paths]
            bases = seeds(version)
            for _ in range(count // 6):
                message = bend(r, r.choice(bases)) if bases and r.random() < 0.7 else made_up(r, version)
                answers = []
                for i, path in enumerate(paths):
                    try:
                        answers.append(peers[i].ask(message))
                    except (EOFError, OSError):
                        answers.append("closed")
                        peers[i] = Peer(path, version)
                if answers[0] == answers[1]:
                    same += 1
                else:
                    key = (version, message[1], str(answers[0]), str(answers[1]))
                    differ.setdefault(key, []).append(message.hex())
        total = same + sum(map(len, differ.values()))
        print(f"wrong and random messages (seed {seed}): the same answer to {same} of {total}")
        for (version, kind, a, b), messages in sorted(differ.items(), key=lambda d: -len(d[1])):
            print(f"  {len(messages)} x OF{VERSIONS[version]} type {kind}: sluiced {a}, Open vSwitch {b}: {messages[0]}")


main()
