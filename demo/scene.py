"""What the demo consists of: hosts, machines, and the files that describe them.

Everything here is a pure function of the constants below.
"""

from dataclasses import dataclass

VNI = 123
PREFIX = "sluicedemo-"
NETWORK = "10.123.0"
UNDERLAY_MTU = 1500
MACHINE_MTU = 1450
OPEN_PORT = 8080
CLOSED_PORT = 2222


@dataclass(frozen=True)
class Host:
    """A compute node. `plain` means a Linux vxlan device instead of a Sluice switch."""

    number: int
    plain: bool = False

    @property
    def name(self):
        return f"host{self.number}"

    @property
    def netns(self):
        return f"{PREFIX}h{self.number}"

    @property
    def ip(self):
        return f"172.31.{self.number}.2"

    @property
    def router_ip(self):
        return f"172.31.{self.number}.1"


@dataclass(frozen=True)
class Machine:
    """A virtual machine: a namespace with one end of a veth pair."""

    number: int
    host: Host

    @property
    def name(self):
        return f"vm{self.number}"

    @property
    def netns(self):
        return f"{PREFIX}{self.name}"

    @property
    def mac(self):
        return f"52:54:00:00:00:{self.number:02x}"

    @property
    def ip(self):
        return f"{NETWORK}.{self.number}"

    @property
    def ip6(self):
        return f"fd00:123::{self.number}"


ROUTER = f"{PREFIX}router"
HOSTS = [Host(1), Host(2), Host(3, plain=True)]
MACHINES = [Machine(n, HOSTS[(n - 1) // 2]) for n in range(1, 6)]


def pairs():
    """Every pair of machines, once."""
    return [(a, b) for a in MACHINES for b in MACHINES if a.number < b.number]


def cloud():
    """The cloud file that both controllers follow."""
    lines = [
        "# Networks, hosts, ports and security groups of the demo.",
        "networks:",
        f"  - {{name: blue, vni: {VNI}, cidr: [{NETWORK}.0/24, \"fd00:123::/64\"], mtu: {MACHINE_MTU}}}",
        "hosts:",
    ]
    lines += [f"  - {{name: {h.name}, tunnel_ip: {h.ip}}}" for h in HOSTS]
    lines.append("ports:")
    for m in MACHINES:
        lines += [
            f"  - name: {m.name}",
            "    network: blue",
            f"    mac: {m.mac}",
            f"    addresses: [{m.ip}, \"{m.ip6}\"]",
            f"    host: {m.host.name}",
            "    security_groups: [machines]",
        ]
    lines += [
        "security_groups:",
        "  - name: machines",
        "    rules:",
        "      - {direction: egress}",
        "      - {direction: egress, ethertype: IPv6}",
        "      - {direction: ingress, protocol: icmp, remote_group: machines}",
        "      - {direction: ingress, ethertype: IPv6, protocol: icmp, remote_group: machines}",
        f"      - {{direction: ingress, protocol: tcp, port_range: {OPEN_PORT}, remote_group: machines}}",
        "      # Rules are stateless: answers come to the ports that Linux picks for clients.",
        "      - {direction: ingress, protocol: tcp, port_range: 32768-60999, remote_group: machines}",
    ]
    return "\n".join(lines) + "\n"


def tunnel_name(host):
    """Name of the tunnel port to a host, as Neutron forms it."""
    return "vxlan-" + "".join(f"{int(part):02x}" for part in host.ip.split("."))


def switch_toml(host):
    """sluiced's configuration on a host."""
    out = [
        "[[underlay]]",
        'device = "eth0"',
        "",
        "[[bridge]]",
        'name = "br-int"',
        'fail_mode = "secure"',
        "[[bridge.port]]",
        'name = "patch-tun"',
        'kind = "patch"',
        'peer = "patch-int"',
    ]
    for m in MACHINES:
        if m.host == host:
            out += ["[[bridge.port]]", f'name = "{m.name}"']
    out += [
        "",
        "[[bridge]]",
        'name = "br-tun"',
        'fail_mode = "secure"',
        "[[bridge.port]]",
        'name = "patch-int"',
        'kind = "patch"',
        'peer = "patch-tun"',
    ]
    for peer in HOSTS:
        if peer != host:
            out += [
                "[[bridge.port]]",
                f'name = "{tunnel_name(peer)}"',
                'kind = "vxlan"',
                f'remote_ip = "{peer.ip}"',
                f'local_ip = "{host.ip}"',
                'key = "flow"',
            ]
    return "\n".join(out) + "\n"
