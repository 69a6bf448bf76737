"""The switch of a host: sluiced, or a stock Open vSwitch for comparison. Both are driven alike."""

import os
import signal
import subprocess
import time
from pathlib import Path

import interrupts
import scene
from net import CommandFailed, inside, ip, run


def wait_for(what, test, seconds=20):
    """Waits until `test` gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = test()
        if found:
            return found
        time.sleep(0.05)
    raise CommandFailed(f"{what}: not after {seconds} s")


class Program:
    """A program that runs until it is stopped, with its output in a file."""

    def __init__(self, name, command, log):
        self.name = name
        self.log = Path(log)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True)

    def check(self):
        """Fails when the program has ended."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace").strip()[-2000:]
            raise CommandFailed(f"{self.name} ended with status {self.process.returncode}:\n{tail}")
        return True

    def stop(self):
        """Ends it, politely first."""
        for sign, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.process.poll() is not None:
                return
            self.process.send_signal(sign)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                pass


class Sluiced:
    """`sluiced --config` on a host."""

    label = "sluiced"
    # Machines may leave checksums and segmentation to the switch.
    offloads = True

    def __init__(self, host, directory, programs):
        self.host, self.rundir, self.programs = host, Path(directory), Path(programs)
        self.program = None

    def start(self):
        self.rundir.mkdir(parents=True)
        config = self.rundir / "switch.toml"
        config.write_text(scene.switch_toml(self.host))
        command = inside(self.host.netns, str(self.programs / "sluiced"), "--config", str(config),
                         "--rundir", str(self.rundir))
        with interrupts.shield():
            self.program = Program(f"sluiced on {self.host.name}", command, self.rundir / "sluiced.log")
        for bridge in ("br-int", "br-tun"):
            socket = self.rundir / f"{bridge}.mgmt"
            wait_for(f"{socket}", lambda: self.program.check() and socket.exists())

    def check(self):
        self.program.check()

    def dump(self, bridge):
        """The bridge's rules with their counters."""
        return run(str(self.programs / "sluice"), "ofctl", "-O", "OpenFlow14", "dump-flows",
                   f"unix:{self.rundir}/{bridge}.mgmt")

    def stop(self):
        if self.program:
            self.program.stop()


class StockOvs:
    """Debian's ovs-vswitchd (userspace datapath) on a host."""

    label = "ovs-vswitchd"
    # Its userspace datapath, as Debian configures it, sends unfinished checksums on as they are.
    offloads = False

    def __init__(self, host, directory, programs):
        self.host, self.rundir = host, Path(directory)
        self.env = {**os.environ, **{f"OVS_{k}DIR": str(directory) for k in ("RUN", "LOG", "DB", "SYSCONF")}}

    def _run(self, *command):
        done = subprocess.run(inside(self.host.netns, *command), capture_output=True, text=True, env=self.env)
        if done.returncode != 0:
            raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def start(self):
        d = self.rundir
        d.mkdir(parents=True)
        self._run("ovsdb-tool", "create", f"{d}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        quiet = ("--detach", "--no-chdir", "-vconsole:off")
        self._run("ovsdb-server", *quiet, f"--pidfile={d}/ovsdb-server.pid", f"--log-file={d}/ovsdb-server.log",
                  f"--unixctl={d}/ovsdb-server.ctl", f"--remote=punix:{d}/db.sock", f"{d}/conf.db")
        self._vsctl("--no-wait", "init")
        self._run("ovs-vswitchd", *quiet, f"--pidfile={d}/ovs-vswitchd.pid", f"--log-file={d}/ovs-vswitchd.log",
                  f"--unixctl={d}/ovs-vswitchd.ctl", f"unix:{d}/db.sock")
        self._underlay()
        for bridge in ("br-int", "br-tun"):
            self._vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure")
        self._port("br-int", "patch-tun", "type=patch", "options:peer=patch-int")
        self._port("br-tun", "patch-int", "type=patch", "options:peer=patch-tun")
        for machine in scene.MACHINES:
            if machine.host == self.host:
                self._port("br-int", machine.name)
        for peer in scene.HOSTS:
            if peer != self.host:
                self._port("br-tun", scene.tunnel_name(peer), "type=vxlan", "options:key=flow",
                           f"options:remote_ip={peer.ip}", f"options:local_ip={self.host.ip}")

    def _vsctl(self, *arguments):
        self._run("ovs-vsctl", "--timeout=20", f"--db=unix:{self.rundir}/db.sock", *arguments)

    def _port(self, bridge, name, *settings):
        more = ("--", "set", "interface", name, *settings) if settings else ()
        self._vsctl("add-port", bridge, name, *more)

    def _underlay(self):
        """Userspace tunnels end on a bridge that has the host's address."""
        host = self.host
        self._vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev")
        ip(host.netns, "address", "flush", "dev", "eth0")
        self._port("br-phy", "eth0")
        ip(host.netns, "address", "add", f"{host.ip}/24", "dev", "br-phy")
        ip(host.netns, "link", "set", "br-phy", "up")
        ip(host.netns, "route", "add", "default", "via", host.router_ip)
        # It knows its gateway only once the kernel has asked for it.
        run(*inside(host.netns, "ping", "-c1", "-W5", host.router_ip), check=False)

    def check(self):
        for name in ("ovsdb-server", "ovs-vswitchd"):
            if not (self.rundir / f"{name}.pid").exists():
                raise CommandFailed(f"{name} on {self.host.name} has ended")

    def dump(self, bridge):
        return run("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{self.rundir}/{bridge}.mgmt")

    def stop(self):
        for name in ("ovs-vswitchd", "ovsdb-server"):
            try:
                pid = int((self.rundir / f"{name}.pid").read_text())
                os.kill(pid, signal.SIGTERM)
            except (OSError, ValueError):
                continue
            end = time.monotonic() + 5
            while time.monotonic() < end and Path(f"/proc/{pid}").exists():
                time.sleep(0.05)


KINDS = {"sluiced": Sluiced, "ovs": StockOvs}


def controller(host, switch, cloud, programs, log):
    """`sluice-controller` for a host; it ends only when it is stopped."""
    command = (str(Path(programs) / "sluice-controller"), "--source", f"file:{cloud}", "--host", host.name,
               "--rundir", str(switch.rundir))
    return Program(f"sluice-controller on {host.name}", command, log)
