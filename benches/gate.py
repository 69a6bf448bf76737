#!/usr/bin/env python3
"""gate.py [--base REV] [--head REV]: instructions per packet, now and at another commit; fails where they rose by 3 %.

Purpose: a figure that is the same on a busy machine as on a quiet one, so that a slower change is seen when it comes.
Invariant: both sides run the same cells on the same captures and rules; the source under REV is never changed.
Deliberately does not know: caches of the processor. Waiting for memory is measured by `make bench-peers`.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
WORK = f"{ROOT}/target/bench/gate"
LIMIT = 1.03
# A cell runs with two numbers of packets; what lies between them is free of all that happens at the start.
FEW, MANY, SETTLE = 20_000, 120_000, 80_000
# Set up once in each program run: not worth a failure by itself.
PACKAGES = ("sluice-benches",)

PLAIN, TUNNELLED, TUNNELLED6 = "plain-60-1000.pcap", "vxlan-60-1000.pcap", "vxlan6-60-1000.pcap"
CELLS = (
    # name, shape, rules, source, further words
    ("source alone", "plain", "-", PLAIN),
    ("L2 in->out", "plain", "l2", PLAIN),
    ("L2 in->out, 16 ports", "plain", "l2", PLAIN, "idle=14"),
    ("L2 in->out, 64 ports", "plain", "l2", PLAIN, "idle=62"),
    ("Neutron tables", "plain", "neutron", PLAIN),
    ("Neutron, first packets", "plain", "neutron", "vary=4000000"),
    ("VXLAN encap", "encap", "encap", PLAIN),
    ("VXLAN decap", "decap", "decap", TUNNELLED),
    ("VXLAN encap over IPv6", "encap6", "encap", PLAIN),
    ("VXLAN decap over IPv6", "decap6", "decap", TUNNELLED6),
    ("Connections, Neutron tables", "stateful", "neutron-ct", PLAIN),
)


class GateError(Exception):
    pass


def run(words, **more):
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode != 0:
        raise GateError(f"{' '.join(words)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def git(*words, env=None):
    return run(["git", "-C", ROOT, *words], env=env).strip()


def default_base():
    """Where this branch left main; on main itself the commit before."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/main", "main"):
        try:
            base = git("merge-base", "HEAD", main)
        except GateError:
            continue
        if base != head or git("status", "--porcelain", "--untracked-files=no"):
            return base
    return git("rev-parse", "HEAD~1")


def build(source, target):
    """The programs of a source tree."""
    env = dict(os.environ, CARGO_TARGET_DIR=target)
    packages = [word for p in PACKAGES for word in ("-p", p)]
    done = subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *packages], cwd=source, env=env,
                          text=True, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise GateError(f"{source} does not build:\n{done.stderr[-2000:]}")
    return f"{target}/release"


def check_out(commit):
    """The commit's tree below target/, only files that differ written: what did not change is not built again."""
    tree = f"{WORK}/source"
    os.makedirs(tree, exist_ok=True)
    env = dict(os.environ, GIT_INDEX_FILE=f"{WORK}/index", GIT_WORK_TREE=tree, GIT_DIR=git("rev-parse", "--absolute-git-dir"))
    run(["git", "read-tree", "--reset", "-u", commit], env=env, cwd=tree)
    return tree


def count(program, cell, packets):
    """Instructions of one run, or None where this build does not know the cell."""
    name, shape, rules, source, *more = cell
    rules = rules if rules == "-" else f"{HERE}/rules/{rules}.flows"
    source = source if "=" in source else f"{ROOT}/target/bench/in/{source}"
    words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, shape, rules, source, f"count={packets}", *more]
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = re.search(r"Collected : (\d+)", done.stdout)
    if done.returncode != 0 or not found:
        return None
    return int(found.group(1))


def per_packet(program, cell):
    # Ports without traffic are told from others after a while only.
    after = SETTLE if cell[4:] else 0
    few, many = count(program, cell, after + FEW), count(program, cell, after + MANY)
    return None if few is None or many is None else (many - few) / (MANY - FEW)


def measure(program):
    """All cells, as many at once as there are processors: counting does not mind company."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        figures = pool.map(lambda c: per_packet(program, c), CELLS)
    return {cell[0]: figure for cell, figure in zip(CELLS, figures)}


def ruler():
    """What the figures of a commit depend on beside that commit."""
    sums = hashlib.sha256(repr((CELLS, FEW, MANY, SETTLE, os.environ.get("RUSTFLAGS", ""))).encode())
    for name in sorted(os.listdir(f"{HERE}/rules")):
        with open(f"{HERE}/rules/{name}", "rb") as f:
            sums.update(name.encode() + f.read())
    sums.update(run(["rustc", "--version"]).encode())
    return sums.hexdigest()[:16]


def measure_commit(commit):
    """From the notes of an earlier run, or built and counted."""
    path = f"{WORK}/{commit[:16]}-{ruler()}.json"
    if os.path.exists(path):
        with open(path) as f:
            return json.load(f)
    print(f"building {git('log', '-1', '--format=%h %s', commit)}", flush=True)
    figures = measure(build(check_out(commit), f"{WORK}/build") + "/cell")
    with open(path, "w") as f:
        json.dump(figures, f, indent=1)
    return figures


def inputs(folder):
    wanted = {c[3] for c in CELLS if "=" not in c[3]}
    if not all(os.path.exists(f"{ROOT}/target/bench/in/{name}") for name in wanted):
        run([f"{folder}/inputs", f"{ROOT}/target/bench/in"])


def compare(base, now):
    """Prints the table; the names of cells that became too slow."""
    slower = []
    print(f"\n{'instructions per packet':28} {'base':>9} {'now':>9} {'change':>8}")
    for name, *_ in CELLS:
        before, after = base.get(name), now.get(name)
        if after is None:
            slower.append(f"{name} (does not run)")
        change = f"{(after / before - 1) * 100:+.1f} %" if before and after else ("new" if after else "FAILS")
        if before and after and after > before * LIMIT:
            slower.append(name)
            change += "  SLOWER"
        show = lambda v: f"{v:9.1f}" if v else f"{'-':>9}"
        print(f"{name:28} {show(before)} {show(after)} {change:>8}")
    return slower


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--base", default="", help="commit to compare with (default: where this branch left main)")
    options.add_argument("--head", default="", help="commit to judge (default: the working tree)")
    args = options.parse_args()
    os.makedirs(WORK, exist_ok=True)
    base = git("rev-parse", "--verify", f"{args.base or default_base()}^{{commit}}")
    target = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
    folder = build(ROOT, target)
    inputs(folder)
    before = measure_commit(base)
    now = measure_commit(git("rev-parse", "--verify", f"{args.head}^{{commit}}")) if args.head else measure(f"{folder}/cell")
    slower = compare(before, now)
    if slower:
        sys.exit(f"slower than {base[:12]} by more than {(LIMIT - 1) * 100:.0f} %: {', '.join(slower)}")
    print(f"nothing slower than {base[:12]} by more than {(LIMIT - 1) * 100:.0f} %")


if __name__ == "__main__":
    try:
        main()
    except GateError as e:
        sys.exit(f"gate.py: {e}")
