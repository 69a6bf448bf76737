#!/usr/bin/env python3
"""shared_lines.py PROGRAM RULES...: memory lines that one worker writes for packets and the other one touches.

`PROGRAM marked RULES FLOWS` runs under valgrind's lackey, which tells of every load and store. Two workers of one switch
take turns on threads of their own; whatever a section of one writes and a section of the other reads or writes is shared.
Ends with an error when anything is.
"""

import re
import subprocess
import sys

LINE = 6
FLOWS = 64


def trace(program, rules):
    words = ["valgrind", "--tool=lackey", "--trace-mem=yes", "--log-fd=1", program, "marked", rules, str(FLOWS)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=1 << 20)


def sections(child):
    """Lines written and lines touched, by worker."""
    written, touched, mark, now, count = {1: set(), 2: set()}, {1: set(), 2: set()}, None, 0, 0
    order = iter((1, 0, 2, 0) * 1000)
    for row in child.stdout:
        kind = row[:2]
        if kind not in (b" L", b" S", b" M"):
            if row.startswith(b"mark "):
                mark = row.split()[1]
            continue
        if mark is None:
            continue
        address, _, size = row[3:].strip().partition(b",")
        if kind != b" L" and address.lstrip(b"0") == mark:
            now = next(order)
            continue
        if now:
            at, count = int(address, 16), count + 1
            lines = range(at >> LINE, (at + int(size) - 1 >> LINE) + 1)
            touched[now].update(lines)
            if kind != b" L":
                written[now].update(lines)
    return written, touched, count


def main():
    program, shared = sys.argv[1], 0
    for rules in sys.argv[2:]:
        child = trace(program, rules)
        written, touched, count = sections(child)
        if child.wait() != 0 or not written[1] or not written[2]:
            sys.exit(f"shared_lines.py: {program} marked {rules} ended with {child.returncode} and {count} accesses")
        both = written[1] & touched[2] | written[2] & touched[1]
        shared += len(both)
        read = touched[1] & touched[2] - both
        print(f"{re.sub('.*/', '', rules)}: {count} loads and stores; worker 1 writes {len(written[1])} lines, worker 2 {len(written[2])}; "
              f"both read {len(read)}; written by one and touched by the other: {len(both)}")
        for line in sorted(both):
            who = [f"{w} {'writes' if line in written[w] else 'reads'}" for w in (1, 2)]
            print(f"  {line << LINE:#x}: worker {', worker '.join(who)}")
    sys.exit(1 if shared else 0)


if __name__ == "__main__":
    main()
