"""The cells of the comparison: what is measured, in which order.

Add a cell by adding a row; rules lie in `../rules` or are written with the captures by the program `inputs`.
"""

import os
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
FLOWS = (1, 1_000, 10_000, 100_000, 1_000_000)
# More flows than this OVS-DPDK cannot be fed from memory: its buffers end at 262,144.
PEER_FLOWS_MAX = 200_000
# Without the checksum that a wire adds.
SMALL, MIDDLE, LARGE = 60, 508, 1514
# Lengths 60, 590 and 1514 as 7 : 4 : 1.
MIX = 0
MIX_MEAN = 358
# Lengths as in the real captures of `$SLUICE_SHARED/pcaps`.
REAL = 1
TUNNELLED = ("decap", "both")


@dataclass(frozen=True)
class Cell:
    name: str
    shape: str
    rules: str
    flows: int
    size: int = SMALL
    kind: str = "plain"
    mean: int = 0

    @property
    def bytes(self):
        return (self.mean or self.size) + 4

    @property
    def peer_flows(self):
        """Of connections both directions must be in memory."""
        return min(self.flows, PEER_FLOWS_MAX // 2 if self.shape == "stateful" else PEER_FLOWS_MAX)

    @property
    def is_source(self):
        return self.rules == "-"

    def capture(self, flows):
        kind = "vxlan" if self.shape in TUNNELLED else {MIX: "mix", REAL: "real"}.get(self.size, self.kind)
        return f"{kind}-{self.size}-{flows}.pcap"

    def source(self, inputs):
        """Ours: a capture as well, until the flows would no longer fit a capture of the peers."""
        if self.flows > PEER_FLOWS_MAX:
            return f"vary={self.flows}"
        return f"{inputs}/{self.capture(self.flows)}"

    def rules_file(self, inputs):
        ours = f"{HERE}/../rules/{self.rules}.flows"
        return ours if os.path.exists(ours) else f"{inputs}/{self.rules}.flows"


def many(name, shape, rules, flows):
    return [Cell(name, shape, rules, n) for n in flows]


def real_mean(inputs):
    """Of the frames as long as real ones; 0 where no real captures were there to be measured."""
    try:
        with open(f"{inputs}/real-mean") as f:
            return int(f.read())
    except FileNotFoundError:
        return 0


def sizes(name, shape, rules, real):
    wanted = [("512 B", MIDDLE, 0), ("1518 B", LARGE, 0), ("mixed lengths", MIX, MIX_MEAN)]
    wanted += [("lengths of real captures", REAL, real)] if real else []
    return [Cell(f"{name}, {what}", shape, rules, 10_000, size, mean=mean) for what, size, mean in wanted]


def all_cells(short, inputs):
    real = real_mean(inputs)
    if not real:
        print("skipped: lengths of real captures (no pcaps below $SLUICE_SHARED or ../shared)", flush=True)
    cells = many("source alone", "plain", "-", (1, 10_000, 100_000))
    cells += many("L2 in->out", "plain", "l2", FLOWS)
    cells += [Cell("NORMAL, 1,000 hosts each way", "stateful", "normal", 1_000, kind="hosts")]
    cells += many("L3/L4 match", "plain", "match", (1,))
    cells += many("Neutron tables", "plain", "neutron", FLOWS)
    cells += many("Neutron, 10,000 remote addresses", "plain", "remote", (10_000,))
    cells += many("NAT rewrite", "plain", "rewrite", (1, 10_000))
    cells += many("VXLAN encap", "encap", "encap", FLOWS)
    cells += many("VXLAN decap", "decap", "decap", FLOWS)
    cells += many("VXLAN decap, then encap", "both", "both", (1, 10_000, 100_000))
    # Connections, packets both ways.
    cells += many("Stateful, one zone", "stateful", "ct", (1, 10_000, 200_000, 1_000_000))
    cells += many("Stateful, Neutron tables", "stateful", "neutron-ct", (1, 10_000, 200_000, 1_000_000))
    cells += sizes("L2 in->out", "plain", "l2", real) + sizes("Neutron tables", "plain", "neutron", real)
    cells += sizes("VXLAN encap", "encap", "encap", real) + sizes("Stateful, Neutron tables", "stateful", "neutron-ct", real)
    if not short:
        cells += [Cell(f"{name}, 1518 B", "plain", rules, 1, LARGE) for name, rules in (("L2 in->out", "l2"), ("Neutron tables", "neutron"))]
    return cells
