"""The demo without root: the same cloud and rules, from capture to capture.

Each bridge of each host is one `sluice replay`: machines' frames go through br-int, what leaves by
the patch port goes through br-tun, what leaves there as VXLAN goes into the other host, and back up.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import frames
import pcap
import scene
from net import CommandFailed, run

EXPLANATION = """\
This needs root: the full demo makes network namespaces, veth and vxlan devices, and raw sockets
(run it as root, or through sudo). Nothing of that can be made now, so the same scenario runs from
capture to capture through `sluice replay`: the real rules and the real engine, frames from files."""

UNDERLAY = 100
UNKNOWN = f"{scene.NETWORK}.99"


class Wrong(Exception):
    """A packet did not end where it should."""


class Node:
    """A host's two bridges, as rules and port numbers."""

    def __init__(self, host, directory, programs):
        self.host, self.dir, self.sluice = host, Path(directory) / host.name, str(Path(programs) / "sluice")
        self.dir.mkdir()
        self.machines = [m for m in scene.MACHINES if m.host == host]
        self.peers = [h for h in scene.HOSTS if h != host]
        self.vm_port = {m: n for n, m in enumerate(self.machines, 2)}
        self.tunnel_port = {h: n for n, h in enumerate(self.peers, 2)}
        ports = ["br-int:patch-tun=1", "br-tun:patch-int=1"]
        ports += [f"br-int:{m.name}={n}" for m, n in self.vm_port.items()]
        ports += [f"br-tun:{scene.tunnel_name(h)}={n}" for h, n in self.tunnel_port.items()]
        for bridge in ("br-int", "br-tun"):
            command = [str(Path(programs) / "sluice-controller"), "plan", "--source", f"file:{directory}/cloud.yaml",
                       "--host", host.name, "--bridge", bridge]
            for port in ports:
                command += ["--port", port]
            (self.dir / bridge).write_text(run(*command))
        self.packets = 0

    def _replay(self, bridge, inputs, outputs, more=()):
        """Runs frames through a bridge: {port: frames} in, {port: frames} out."""
        command = [self.sluice, "replay", "--json", "--flows", str(self.dir / bridge), *more]
        for port, given in inputs.items():
            path = self.dir / f"in-{port}.pcap"
            pcap.write(path, given)
            command += ["--in-port", f"{port}={path}"]
        for port in outputs:
            command += ["--out-port", f"{port}={self.dir / f'out-{port}.pcap'}"]
        figures = json.loads(run(*command))
        if not figures["conserved"]:
            raise Wrong(f"{self.host.name} {bridge}: received is not sent plus dropped")
        self.packets += figures["packets_in"]
        return {port: pcap.read(self.dir / f"out-{port}.pcap") for port in outputs}

    def integration(self, inputs):
        """{machine or 'others': frames} in and out of br-int."""
        number = {**self.vm_port, "others": 1}
        out = self._replay("br-int", {number[k]: v for k, v in inputs.items() if v}, number.values())
        return {key: out[n] for key, n in number.items()}

    def tunnel(self, inputs):
        """{'inward' or 'underlay': frames} in and out of br-tun."""
        number = {"inward": 1, "underlay": UNDERLAY}
        ends = []
        for peer, port in self.tunnel_port.items():
            ends += ["--vxlan", f"{port}={peer.ip},{self.host.ip},{UNDERLAY}"]
        out = self._replay("br-tun", {number[k]: v for k, v in inputs.items() if v}, number.values(), ends)
        return {key: out[n] for key, n in number.items()}


def main(programs, explain=True):
    if explain:
        print(EXPLANATION)
    directory = tempfile.mkdtemp(prefix="sluicedemo-")
    try:
        scenario(programs, Path(directory))
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")
        return 1
    except (Wrong, CommandFailed, OSError, ValueError) as error:
        print(f"\nFAILED: {error}")
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\nAll that was promised held.")
    return 0


def scenario(programs, directory):
    (directory / "cloud.yaml").write_text(scene.cloud())
    nodes = {h: Node(h, directory, programs) for h in scene.HOSTS if not h.plain}
    arrived = {m: [] for m in scene.MACHINES}
    wire = []
    print("\n== every machine of the two hosts sends: a ping and a TCP SYN to each other machine,")
    print(f"   a SYN to port {scene.CLOSED_PORT}, and ARP questions for each address and for {UNKNOWN}")
    for node in nodes.values():
        up = node.integration({m: sent_by(m) for m in node.machines})
        down = node.tunnel({"inward": up["others"]})
        # Answers that br-tun gives go back to the machine that asked.
        back = node.integration({"others": down["inward"]})
        for m in node.machines:
            arrived[m] += up[m] + back[m]
        wire += down["underlay"]
        print(f"   {node.host.name}: {len(up['others'])} frames for other hosts, {len(down['inward'])} answered, "
              f"{len(down['underlay'])} VXLAN packets to the underlay")
    deliver(nodes, wire, arrived)
    check_pairs(arrived)
    check_arp(arrived, wire)
    total = sum(n.packets for n in nodes.values())
    print(f"\n   {total} packets in all replays; received = sent + dropped in each")


def sent_by(machine):
    others = [m for m in scene.MACHINES if m != machine]
    out = []
    for other in others:
        out += [frames.echo_request(machine, other), frames.tcp_syn(machine, other, scene.OPEN_PORT),
                frames.tcp_syn(machine, other, scene.CLOSED_PORT), frames.arp(machine, other.ip)]
    return out + [frames.arp(machine, UNKNOWN)]


def deliver(nodes, wire, arrived):
    """The underlay carries each packet to the host that it is for."""
    for host in scene.HOSTS:
        mine = [p for p in wire if frames.outer_target(p) == host.ip]
        if host.plain:
            # What the kernel's vxlan device would take out.
            for inner in (pcap.vxlan(p) for p in mine):
                for m in scene.MACHINES:
                    if m.host == host and inner and inner.vni == scene.VNI and inner.frame[:6] == frames.mac_bytes(m.mac):
                        arrived[m].append(inner.frame)
            continue
        inward = nodes[host].tunnel({"underlay": mine})["inward"]
        down = nodes[host].integration({"others": inward})
        for m in nodes[host].machines:
            arrived[m] += down[m]


def check_pairs(arrived):
    print("\n== what arrived, pair by pair")
    senders = [m for m in scene.MACHINES if not m.host.plain]
    for a in senders:
        for b in scene.MACHINES:
            if a == b:
                continue
            ping = arrived[b].count(frames.echo_request(a, b))
            syn = arrived[b].count(frames.tcp_syn(a, b, scene.OPEN_PORT))
            closed = arrived[b].count(frames.tcp_syn(a, b, scene.CLOSED_PORT))
            print(f"   {a.name} -> {b.name}  ping {ping}  TCP {scene.OPEN_PORT}: {syn}  TCP {scene.CLOSED_PORT}: {closed}")
            # The plain host has no security groups: what is sent to it arrives.
            if (ping, syn) != (1, 1) or closed != (1 if b.host.plain else 0):
                raise Wrong(f"{a.name} -> {b.name}: expected ping 1, {scene.OPEN_PORT} 1, {scene.CLOSED_PORT} refused")


def check_arp(arrived, wire):
    print("\n== ARP")
    senders = [m for m in scene.MACHINES if not m.host.plain]
    for a in senders:
        replies = {(address, mac) for _, address, mac in filter(None, map(frames.arp_reply, arrived[a]))}
        remote = {(b.ip, b.mac) for b in scene.MACHINES if b.host != a.host}
        if replies != remote:
            raise Wrong(f"{a.name} was answered {sorted(replies)}, expected {sorted(remote)}")
    known = {m.ip for m in scene.MACHINES}
    asked = [pcap.arp_target(i.frame) for i in map(pcap.vxlan, wire) if i]
    crossed = [t for t in asked if t in known]
    if crossed or UNKNOWN not in asked:
        raise Wrong(f"on the underlay: questions for {sorted(set(filter(None, asked)))}")
    print(f"   every question for a machine on another host was answered by the switch; on the underlay there were only")
    print(f"   the {asked.count(UNKNOWN)} copies of the question for {UNKNOWN}, which nobody has")
