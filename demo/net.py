"""Namespaces and devices of the demo, made and removed."""

import subprocess

import scene


class CommandFailed(Exception):
    """A command did not succeed; the text says which and why."""


def run(*command, check=True, timeout=60):
    """Runs a command and gives its output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError:
        raise CommandFailed(f"{command[0]} is missing; install the package that has it") from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{' '.join(command)}: no end after {timeout} s") from None
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def inside(netns, *command):
    """The command, run in a namespace."""
    return ("ip", "netns", "exec", netns, *command)


def ip(netns, *arguments):
    """`ip` in a namespace."""
    return run("ip", "-n", netns, *arguments)


def setting(netns, name, value):
    """Writes a kernel setting of a namespace."""
    run(*inside(netns, "sh", "-c", 'echo "$2" > "/proc/sys/$1"', "setting", name, value))


def namespaces():
    """Every namespace that the demo may have made."""
    names = [scene.ROUTER] + [h.netns for h in scene.HOSTS] + [m.netns for m in scene.MACHINES]
    there = {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.strip()}
    return [name for name in names if name in there]


def remove_all():
    """Removes every namespace of the demo; devices go with them."""
    for name in namespaces():
        run("ip", "netns", "delete", name, check=False)


def build():
    """Makes the underlay and the machines. Nothing of it is connected to the real host."""
    names = [scene.ROUTER] + [h.netns for h in scene.HOSTS] + [m.netns for m in scene.MACHINES]
    for name in names:
        run("ip", "netns", "add", name)
        ip(name, "link", "set", "lo", "up")
    setting(scene.ROUTER, "net/ipv4/ip_forward", "1")
    for host in scene.HOSTS:
        _underlay(host)
    for machine in scene.MACHINES:
        _machine(machine)


def _underlay(host):
    link = f"to-{host.name}"
    run("ip", "link", "add", link, "netns", scene.ROUTER, "mtu", str(scene.UNDERLAY_MTU), "type", "veth",
        "peer", "name", "eth0", "netns", host.netns, "mtu", str(scene.UNDERLAY_MTU))
    ip(scene.ROUTER, "address", "add", f"{host.router_ip}/24", "dev", link)
    ip(scene.ROUTER, "link", "set", link, "up")
    ip(host.netns, "address", "add", f"{host.ip}/24", "dev", "eth0")
    ip(host.netns, "link", "set", "eth0", "up")
    ip(host.netns, "route", "add", "default", "via", host.router_ip)


def _machine(machine):
    mtu = str(scene.MACHINE_MTU)
    run("ip", "link", "add", machine.name, "netns", machine.host.netns, "mtu", mtu, "type", "veth",
        "peer", "name", "eth0", "netns", machine.netns, "address", machine.mac, "mtu", mtu)
    # The switch owns this end: the host's own IPv6 has nothing to say on it.
    setting(machine.host.netns, f"net/ipv6/conf/{machine.name}/disable_ipv6", "1")
    ip(machine.host.netns, "link", "set", machine.name, "up")
    ip(machine.netns, "address", "add", f"{machine.ip}/24", "dev", "eth0")
    ip(machine.netns, "-6", "address", "add", f"{machine.ip6}/64", "dev", "eth0", "nodad")
    ip(machine.netns, "link", "set", "eth0", "up")


def plain_host(host, checksums):
    """The third host: the kernel's own vxlan device and bridge.

    Without `checksums` it sends zero outer ones, for a switch that cannot tell an offloaded checksum,
    which nobody completes on a veth pair, from a wrong one.
    """
    device = f"vxlan{scene.VNI}"
    ip(host.netns, "link", "add", device, "mtu", str(scene.MACHINE_MTU), "type", "vxlan", "id", str(scene.VNI),
       "local", host.ip, "dstport", "4789", "udpcsum" if checksums else "noudpcsum")
    for peer in scene.HOSTS:
        if peer != host:
            run(*inside(host.netns, "bridge", "fdb", "append", "00:00:00:00:00:00", "dev", device, "dst", peer.ip))
    ip(host.netns, "link", "add", "br0", "type", "bridge")
    for name in [device] + [m.name for m in scene.MACHINES if m.host == host]:
        ip(host.netns, "link", "set", name, "master", "br0")
        ip(host.netns, "link", "set", name, "up")
    ip(host.netns, "link", "set", "br0", "up")


def offloads_off(machine):
    """For a switch that cannot complete checksums or cut large frames."""
    run(*inside(machine.netns, "ethtool", "-K", "eth0", "tx", "off"))
