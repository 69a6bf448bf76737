"""The cells of the comparison: what is measured, in which order.

Add a cell by adding a row; rules lie in `../rules`, captures are written by the program `inputs`.
"""

from dataclasses import dataclass

FLOWS = (1, 1_000, 10_000, 100_000, 1_000_000)
# More flows than this OVS-DPDK cannot be fed from memory: its buffers end at 262,144.
PEER_FLOWS_MAX = 200_000
# Without the checksum that a wire adds.
SMALL = 60
LARGE = 1514


@dataclass(frozen=True)
class Cell:
    name: str
    shape: str
    rules: str
    flows: int
    size: int

    @property
    def bytes(self):
        return self.size + 4

    @property
    def peer_flows(self):
        return min(self.flows, PEER_FLOWS_MAX)

    def capture(self, flows):
        kind = "vxlan" if self.shape == "decap" else "plain"
        return f"{kind}-{self.size}-{flows}.pcap"

    def source(self, inputs):
        """Ours: a capture as well, until the flows would no longer fit a capture of the peers."""
        if self.flows > PEER_FLOWS_MAX:
            return f"vary={self.flows}"
        return f"{inputs}/{self.capture(self.flows)}"


TABLES = (
    ("L2 in->out", "plain", "l2"),
    ("Neutron tables", "plain", "neutron"),
    ("VXLAN encap", "encap", "encap"),
    ("VXLAN decap", "decap", "decap"),
)


# Connections, packets both ways.
STATEFUL = (("Stateful, one zone", "ct"), ("Stateful, Neutron tables", "neutron-ct"))


def all_cells(short):
    cells = [Cell(name, shape, rules, flows, SMALL) for name, shape, rules in TABLES for flows in FLOWS]
    if not short:
        cells += [Cell(name, shape, rules, flows, LARGE) for name, shape, rules in TABLES[:2] for flows in (1, 10_000)]
    stateful = [Cell(name, "stateful", rules, flows, SMALL) for name, rules in STATEFUL for flows in (1, 10_000, 200_000, 1_000_000)]
    return cells + stateful
