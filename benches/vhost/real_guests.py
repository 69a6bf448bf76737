#!/usr/bin/env python3
"""real_guests.py --build DIR --out DIR [--kills N] [--qemu-kills N]: real guests behind vhost-user ports.

Promises: two Linux guests in QEMU ping and stream through the switch; traffic goes on by itself after
the switch is killed, after a guest is reset, and after any number of kills of either end; a guest that
moves to another QEMU keeps its address reachable.
Everything runs in a network namespace and a folder of its own and is gone afterwards.
"""

import argparse
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, f"{HERE}/../peers"]

from box import Box
from guests import Guests, GuestsError
from switches import Sluice, SwitchError

MODULES = ("failover", "net_failover", "virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
           "virtio_pci", "virtio_net")
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in %s; do [ -f /lib/$m.ko ] && insmod /lib/$m.ko; done
ip link set lo up; ip link set eth0 up
ip addr add $(sed 's/.*gip=\\([^ ]*\\).*/\\1/' /proc/cmdline)/24 dev eth0
iperf3 -s -D
echo GUEST-UP
exec setsid cttyhack sh
"""


class Failed(Exception):
    pass


def until(what, ready, seconds=60):
    deadline = time.time() + seconds
    while not ready():
        if time.time() > deadline:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def fetch_kernel(out):
    """Debian's kernel for virtual machines, unpacked and never installed."""
    root = f"{out}/kernel"
    if not os.path.exists(f"{root}/boot"):
        os.makedirs(root, exist_ok=True)
        depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True).stdout
        name = re.search(r"Depends: (\S+)", depends)
        if not name:
            raise Failed("apt knows no linux-image-cloud-amd64")
        subprocess.run(["apt-get", "download", "-qq", name.group(1)], cwd=root, check=True)
        package = next(f for f in os.listdir(root) if f.endswith(".deb"))
        subprocess.run(["dpkg", "-x", f"{root}/{package}", root], check=True)
    kernel = next(f"{root}/boot/{f}" for f in os.listdir(f"{root}/boot") if f.startswith("vmlinuz"))
    return kernel, root


def initramfs(out, root):
    """A shell, iperf3 and the drivers."""
    tree = f"{out}/initramfs"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "lib", "proc", "sys", "dev", "tmp"):
        os.makedirs(f"{tree}/{folder}")
    shutil.copy(shutil.which("busybox"), f"{tree}/bin/busybox")
    programs = [shutil.which("iperf3")]
    for line in subprocess.run(["ldd", programs[0]], capture_output=True, text=True).stdout.splitlines():
        found = re.search(r"(/\S+)", line)
        if found:
            programs.append(found.group(1))
    for program in programs:
        os.makedirs(f"{tree}{os.path.dirname(program)}", exist_ok=True)
        shutil.copy(program, f"{tree}{program}")
    shutil.copy(programs[0], f"{tree}/bin/iperf3")
    for folder, _, files in os.walk(f"{root}/lib/modules"):
        for file in files:
            if file.split(".ko")[0] in MODULES:
                shutil.copy(f"{folder}/{file}", f"{tree}/lib/{file}")
    with open(f"{tree}/init", "w") as f:
        f.write(INIT % " ".join(MODULES))
    os.chmod(f"{tree}/init", 0o755)
    image = f"{out}/initramfs.cpio"
    with open(image, "wb") as f:
        names = subprocess.run(["find", "."], cwd=tree, capture_output=True).stdout
        subprocess.run([shutil.which("busybox"), "cpio", "-o", "-H", "newc"], cwd=tree, input=names, stdout=f, stderr=subprocess.DEVNULL, check=True)
    return image


class Qemu:
    """One guest."""

    def __init__(self, box, folder, name, number, path, image, kernel, device="", incoming=None):
        self.box, self.name, self.address = box, name, f"10.77.0.{number}"
        self.serial_path, self.monitor_path = f"{folder}/{name}.serial", f"{folder}/{name}.qmp"
        for p in (path, self.serial_path, self.monitor_path):
            if os.path.exists(p):
                os.remove(p)
        words = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "160", "-nographic", "-nodefaults",
                 "-object", "memory-backend-memfd,id=mem,size=160M,share=on", "-numa", "node,memdev=mem",
                 "-chardev", f"socket,id=net,path={path},server=on,wait=off", "-netdev", "vhost-user,id=n,chardev=net",
                 "-device", f"virtio-net-pci,netdev=n,mac=52:54:00:00:00:{number:02x},vectors=0{device}",
                 "-serial", f"unix:{self.serial_path},server=on,wait=off", "-qmp", f"unix:{self.monitor_path},server=on,wait=off",
                 "-kernel", kernel, "-initrd", image, "-append", f"console=ttyS0 quiet panic=1 gip={self.address}"]
        if incoming:
            words += ["-incoming", incoming]
        self.log = open(f"{folder}/{name}.log", "ab")
        self.child = box.start(words, stdout=self.log, stderr=self.log)
        until(f"the console of {name}", lambda: os.path.exists(self.serial_path) and os.path.exists(self.monitor_path))
        self.serial = self._connect(self.serial_path)
        self.text = ""

    @staticmethod
    def _connect(path):
        s = socket.socket(socket.AF_UNIX)
        until(path, lambda: s.connect_ex(path) == 0)
        s.settimeout(0.2)
        return s

    def read(self):
        try:
            more = self.serial.recv(65536)
        except TimeoutError:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with {self.child.returncode}")
            return
        if not more:
            raise Failed(f"{self.name}'s console closed")
        self.log.write(more)
        self.log.flush()
        self.text += more.decode(errors="replace")

    def wait_for(self, what, seconds=120):
        deadline = time.time() + seconds
        while what not in self.text:
            if time.time() > deadline:
                raise Failed(f"{self.name} does not say {what!r}: ...{self.text[-300:]!r}")
            self.read()
        before, self.text = self.text.split(what, 1)
        return before

    def boot(self):
        self.wait_for("GUEST-UP", 180)

    def run(self, command, seconds=60):
        """What a command prints."""
        mark = f"done{random.randrange(1 << 30)}"
        self.serial.sendall(f"{command}; echo {mark[:4]}''{mark[4:]}\n".encode())
        return self.wait_for(mark, seconds)

    def monitor(self, *commands):
        s = self._connect(self.monitor_path)
        s.settimeout(20)
        stream = s.makefile("rw")
        stream.readline()
        answers = []
        for command in ({"execute": "qmp_capabilities"}, *commands):
            stream.write(json.dumps(command) + "\n")
            stream.flush()
            while "event" in (answer := json.loads(stream.readline())):
                pass
            answers.append(answer)
        s.close()
        return answers[1:]

    def pings(self, other, seconds=40):
        """Waits until a ping is answered."""
        deadline = time.time() + seconds
        while True:
            seen = self.run(f"ping -c 1 -W 1 {other}")
            if " 0% packet loss" in seen:
                return
            if time.time() > deadline:
                raise Failed(f"{self.name} gets no answer from {other}: {seen[-200:]!r}")

    def stop(self):
        self.serial.close()
        self.box.stop(self.child)


class Test:
    def __init__(self, args, box):
        self.args, self.box, self.dir = args, box, f"{args.out}/guests"
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        cores = sorted(os.sched_getaffinity(0))
        self.guest_core = cores[0]
        self.switch = Sluice(box, f"{args.build}/sluiced", f"{self.dir}/run", cores[-1])
        self.dice = random.Random(args.seed)

    def start_switch(self, sockets, rules="actions=NORMAL"):
        self.switch.start(sockets)
        subprocess.run(["ovs-ofctl", "add-flow", self.switch.bridge, rules], check=True)

    def kill_switch(self, sockets, rules="actions=NORMAL"):
        self.switch.child.kill()
        self.switch.child.wait()
        self.box.children.remove(self.switch.child)
        self.start_switch(sockets, rules)

    def two_guests(self, kernel, image, device):
        sockets = [f"{self.dir}/q{x}.sock" for x in "AB"]
        self.start_switch(sockets)
        guests = [Qemu(self.box, self.dir, f"guest{x}", i + 1, sockets[i], image, kernel, device) for i, x in enumerate("AB")]
        for g in guests:
            g.boot()
        return sockets, guests

    def linux(self, kernel, image, device, what):
        begin = time.time()
        sockets, (a, b) = self.two_guests(kernel, image, device)
        try:
            a.pings(b.address)
            print(f"ok: guests ping each other, {what} ({time.time() - begin:.0f} s)", flush=True)
            seen = a.run(f"iperf3 -c {b.address} -t 3 -f m", 90)
            rate = re.findall(r"([\d.]+) Mbits/sec.*receiver", seen)
            if not rate or float(rate[-1]) <= 0:
                raise Failed(f"no stream: {seen[-300:]!r}")
            print(f"ok: TCP stream {rate[-1]} Mb/s, {what}", flush=True)
            self.kills(sockets, kernel, image, device, a, b)
        finally:
            for g in (a, b):
                g.stop()
            self.switch.stop()

    def kills(self, sockets, kernel, image, device, a, b):
        """The switch dies, a guest is reset, in turns; every time they ping again by themselves."""
        for i in range(self.args.qemu_kills):
            if "packed" in device or self.dice.random() < 0.3:
                b.monitor({"execute": "system_reset"})
                b.boot()
                what = "a guest was reset"
            else:
                self.kill_switch(sockets)
                what = "the switch was killed"
            a.pings(b.address)
            print(f"ok: {i + 1}/{self.args.qemu_kills} {what} and they ping again", flush=True)

    def moves(self, kernel, image):
        """Live migration to another QEMU on another port."""
        sockets = [f"{self.dir}/m{x}.sock" for x in "ABC"]
        self.start_switch(sockets)
        a, b = (Qemu(self.box, self.dir, f"move{x}", i + 1, sockets[i], image, kernel) for i, x in enumerate("AB"))
        c = None
        try:
            for g in (a, b):
                g.boot()
            a.pings(b.address)
            channel = f"unix:{self.dir}/migrate.sock"
            c = Qemu(self.box, self.dir, "moveC", 2, sockets[2], image, kernel, incoming=channel)
            until("the other QEMU to listen", lambda: os.path.exists(f"{self.dir}/migrate.sock"))
            b.serial.sendall(f"ping {a.address} > /dev/null &\n".encode())
            answer = b.monitor({"execute": "migrate", "arguments": {"uri": channel}})[0]
            if "error" in answer:
                raise Failed(f"migrate: {answer['error']}")
            state = lambda: b.monitor({"execute": "query-migrate"})[0]["return"].get("status")
            until("the migration", lambda: state() in ("completed", "failed"), 120)
            if state() != "completed":
                raise Failed(f"migration: {b.monitor({'execute': 'query-migrate'})}")
            a.pings(b.address)
            seen = c.run(f"ping -c 2 -W 2 {a.address}")
            if " 0% packet loss" not in seen:
                raise Failed(f"the guest that moved does not ping: {seen!r}")
            print("ok: a guest moved to another QEMU while it pinged, and pings on", flush=True)
        finally:
            for g in (a, b, c):
                if g is not None:
                    g.stop()
            self.switch.stop()

    def virtio_user(self, ring, kills):
        """testpmd's virtio-user or the switch is killed at any moment; every time packets flow again."""
        folder = f"{self.dir}/vu"
        sockets = [f"{folder}/v{x}.sock" for x in "AB"]
        self.start_switch(sockets, "in_port=1,actions=2")
        log = open(f"{self.dir}/testpmd.log", "wb")
        make = lambda: Guests(self.box, self.guest_core, folder, f"{self.args.out}/in/plain-60-1.pcap", ring, log, comes_back=True)
        done, guests = 0, make().__enter__()
        try:
            while done < kills:
                time.sleep(self.dice.random() * 0.05)
                if self.dice.random() < 0.15:
                    guests.child.kill()
                    guests.child.wait()
                    guests = make().__enter__()
                else:
                    self.kill_switch(sockets, "in_port=1,actions=2")
                guests.wait_for_traffic(30)
                done += 1
                if done % 50 == 0 or done == kills:
                    print(f"ok: {done}/{kills} kills, {ring}: packets flow", flush=True)
        finally:
            guests.__exit__()
            self.switch.stop()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--kills", type=int, default=40, help="kills of virtio-user or the switch, per ring layout")
    options.add_argument("--qemu-kills", type=int, default=3, help="kills of the switch or resets of a guest in QEMU")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="linux, packed, moves or kills")
    args = options.parse_args()
    args.out = os.path.abspath(args.out)
    if os.geteuid() != 0:
        sys.exit("test-vhost needs root")
    missing = [p for p in ("qemu-system-x86_64", "busybox", "iperf3") if not shutil.which(p)]
    if missing:
        sys.exit(f"test-vhost needs {', '.join(missing)} (Debian: qemu-system-x86 busybox-static iperf3)")
    kernel, root = fetch_kernel(args.out)
    image = initramfs(args.out, root)
    with Box(f"{args.out}/peers/root", 300, mount=True) as box:
        test = Test(args, box)
        wanted = lambda name: not args.only or name == args.only
        if wanted("linux"):
            test.linux(kernel, image, "", "split rings")
        if wanted("packed"):
            test.linux(kernel, image, ",packed=on", "packed rings")
        if wanted("moves"):
            test.moves(kernel, image)
        if wanted("kills"):
            test.virtio_user("queue_size=1024", args.kills)
            test.virtio_user("queue_size=1024,packed_vq=1", args.kills)
    print("all promises kept")


if __name__ == "__main__":
    try:
        main()
    except (Failed, GuestsError, SwitchError) as e:
        sys.exit(f"FAILED: {e}")
    except KeyboardInterrupt:
        sys.exit("stopped; everything that was started is gone")
