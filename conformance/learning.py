#!/usr/bin/env python3
"""A learning switch on os-ken over sluiced: three hosts reach each other, and rules are learned for them.

environment: SLUICED, WORK, PYTHON (with os-ken)."""
import glob
import os
import subprocess
import sys

from rig import Rig, sh, wait

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = "from os_ken.lib import hub; hub.patch(thread=False)\n" \
      "from os_ken import cfg, flags, log\nimport sys\nfrom os_ken.base.app_manager import AppManager\n" \
      "import os_ken.controller.controller\ncfg.CONF(sys.argv[1:], project='os_ken', default_config_files=[])\n" \
      "log.init_log()\nAppManager.run_apps(['learning_app'])\n"


def main():
    with Rig("learning") as rig:
        s = rig.space("s")
        hosts = [rig.space(f"h{i}") for i in (1, 2, 3)]
        for i, host in enumerate(hosts, 1):
            rig.link(s, f"l{i}", host, "eth0")
            sh("ip", "-n", host, "addr", "add", f"10.0.0.{i}/24", "dev", "eth0")
        env = dict(os.environ, OSKEN_HUB_TYPE="eventlet", PYTHONPATH=HERE)
        rig.start(s, "controller.log", os.environ["PYTHON"], "-c", RUN, "--ofp-tcp-listen-port", "6653", env=env)
        wait(lambda: rig.listens(s, 6653), "the controller")
        rundir = rig.switch(s, "br0", 1, ["l1", "l2", "l3"], "13", "tcp:127.0.0.1:6653", "sluiced.log")
        wait(lambda: glob.glob(rundir + "/br0.mgmt"), "the switch")
        dump = ["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", rundir + "/br0.mgmt"]
        rules = lambda: subprocess.run(dump, capture_output=True, text=True).stdout
        wait(lambda: "CONTROLLER" in rules(), "the controller's first rule")
        good = True
        for a in (1, 2, 3):
            for b in (1, 2, 3):
                if a != b:
                    words = ["ip", "netns", "exec", hosts[a - 1], "ping", "-c", "2", "-i", "0.2", "-W", "2", f"10.0.0.{b}"]
                    good &= subprocess.run(words, stdout=subprocess.DEVNULL).returncode == 0
        learned = rules().count("priority=1,in_port")
        print(f"os-ken learning switch: hosts reach each other: {'yes' if good else 'NO'}; rules learned: {learned}")
        sys.exit(0 if good and learned >= 4 else 1)


main()
