"""A line chart as SVG: a figure over the number of flows, one colour per table.

Purpose: solid lines are ours, dashed ones OVS-DPDK.
Deliberately does not know: where figures come from.
"""

import math

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 50, 60
COLOURS = ("#0b6e4f", "#c1440e", "#1f4e9e", "#8e3b8e", "#8a6d00", "#333333")


def flows_text(n):
    if n >= 1_000_000:
        return f"{n // 1_000_000} M"
    return f"{n // 1000} k" if n >= 1000 else str(n)


def top_of(values):
    """A round number above all values."""
    most = max(values, default=1.0) or 1.0
    step = 10 ** math.floor(math.log10(most))
    for factor in (1, 2, 2.5, 5, 10):
        if step * factor >= most:
            return step * factor
    return step * 10


class Axes:
    def __init__(self, flows, top):
        self.flows, self.top = flows, top

    def x(self, flows):
        at = self.flows.index(flows) / max(1, len(self.flows) - 1)
        return LEFT + at * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def draw(self):
        out = []
        for i in range(6):
            value = self.top * i / 5
            y = self.y(value)
            out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
            out.append(text(LEFT - 8, y + 4, f"{value:g}", "end"))
        for n in self.flows:
            out.append(text(self.x(n), HEIGHT - BOTTOM + 20, flows_text(n), "middle"))
        out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 15, "flows", "middle"))
        return out


def text(x, y, words, anchor="start", colour="#222", size=13):
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{words}</text>'


def series(axes, points, colour, dashed):
    points = [(axes.x(n), axes.y(v)) for n, v in points if v]
    if not points:
        return []
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="6 5"' if dashed else ""
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return out


def legend(names):
    out, y = [], TOP + 10
    for i, name in enumerate(names):
        colour = COLOURS[i % len(COLOURS)]
        for dash, who in (("", "Sluice"), (' stroke-dasharray="6 5"', "OVS-DPDK")):
            x = WIDTH - RIGHT + 20
            out.append(f'<line x1="{x}" y1="{y}" x2="{x + 30}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>')
            out.append(text(x + 36, y + 4, f"{name}, {who}", size=12))
            y += 20
    return out


def chart(title, rows, ours, theirs):
    """One line for each name, over the flows of its rows."""
    names = list(dict.fromkeys(r["name"] for r in rows))
    flows = sorted({r["flows"] for r in rows}) or [1]
    values = [r[k] for r in rows for k in (ours, theirs) if r[k]]
    axes = Axes(flows, top_of(values))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text(LEFT, 28, title, size=16)]
    parts += axes.draw()
    for i, name in enumerate(names):
        mine = sorted((r["flows"], r[ours]) for r in rows if r["name"] == name)
        other = sorted((r["flows"], r[theirs] or 0) for r in rows if r["name"] == name and r["ovs_flows"] == r["flows"])
        colour = COLOURS[i % len(COLOURS)]
        parts += series(axes, mine, colour, False) + series(axes, other, colour, True)
    return "\n".join(parts + legend(names) + ["</svg>"]) + "\n"
