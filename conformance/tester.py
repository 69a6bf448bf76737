#!/usr/bin/env python3
"""Runs the OpenFlow switch tester of os-ken, which since version 4 has no command of its own for it.

All arguments are the tester's own options (`--test-switch-dir` and the like)."""
import os
import sys

# The tester waits with timeouts that only this kind of green threads keeps.
os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet")
# Of their loops the usual one sleeps by whole milliseconds: a case that says 20,000 packets/s gets 18,400 from it, too few
# for what it expects of a meter whatever the switch does. This one sleeps as long as it is told.
os.environ.setdefault("EVENTLET_HUB", "selects")

from os_ken.lib import hub  # noqa: E402

hub.patch(thread=False)

from os_ken import cfg, flags, log  # noqa: E402,F401
from os_ken.base import app_manager  # noqa: E402
import os_ken.controller.controller  # noqa: E402,F401

cfg.CONF(sys.argv[1:], project="os_ken", default_config_files=[])
log.init_log()
app_manager.AppManager.run_apps(["os_ken.tests.switch.tester"])
