"""Ctrl-C and its relatives, put off where they would lose track of something just started."""

import signal
from contextlib import contextmanager

_state = {"shields": 0, "pending": False}


def _arrived(*_):
    if _state["shields"]:
        _state["pending"] = True
    else:
        raise KeyboardInterrupt


def install():
    """From now on SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _arrived)


def ignore():
    """From now on nothing interrupts."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)


@contextmanager
def shield():
    """Within, an interrupt waits until the end."""
    _state["shields"] += 1
    try:
        yield
    finally:
        _state["shields"] -= 1
        if _state["pending"] and not _state["shields"]:
            _state["pending"] = False
            raise KeyboardInterrupt
