"""Our engine in a process of its own, measured in windows."""

import json
import os
import subprocess

from box import die_with_parent


class OursError(Exception):
    pass


class Ours:
    """Use with `with`."""

    def __init__(self, program, core, shape, rules, source):
        self.words, self.core, self.child = [program, shape, rules, source], core, None

    def _prepare(self):
        die_with_parent()
        os.sched_setaffinity(0, {self.core})

    def __enter__(self):
        self.child = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=self._prepare)
        if self.child.stdout.readline().strip() != "ready":
            self.__exit__()
            raise OursError(f"{' '.join(self.words)} did not start")
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def window(self, seconds):
        self.child.stdin.write(f"{seconds}\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise OursError(f"{' '.join(self.words)} ended")
        seen = json.loads(line)
        return seen["packets"], seen["cpu_ns"]
