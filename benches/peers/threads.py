"""CPU time of one thread of a process: what a neighbour takes away does not count."""

import os


def find(pid, begins):
    """Ids of the threads whose name begins so."""
    found = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm") as f:
                if f.read().startswith(begins):
                    found.append(tid)
        except FileNotFoundError:
            pass
    return found


def hurry(pid, tids):
    """Lets these threads run before others, where that is allowed."""
    del pid
    for tid in tids:
        try:
            os.setpriority(os.PRIO_PROCESS, int(tid), -20)
        except OSError:
            pass


def cpu_ns(pid, tids):
    total = 0
    for tid in tids:
        with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
            total += int(f.read().split()[0])
    return total
