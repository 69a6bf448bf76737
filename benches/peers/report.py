"""The figures as JSON, as a table and as a plot."""

import json
import os

import plot


def machine(pages):
    """What the figures were measured on: the processor, no names."""
    model, mhz = "unknown", 0.0
    with open("/proc/cpuinfo") as f:
        for row in f:
            key, _, value = row.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "cpu MHz" and not mhz:
                mhz = float(value)
    return {"cpu": model, "mhz": round(mhz), "processors": os.cpu_count(), "kernel": os.uname().release.split("-")[0],
            "peer_pages": pages}


def with_cycles(row, mhz):
    for figure, name in (("ours", "cycles_ours"), ("ovs_dpdk_best", "cycles_ovs"), ("source", "cycles_source")):
        row[name] = round(mhz / row[figure], 1) if row.get(figure) else None
    return row


def number(value, width, digits=1):
    return f"{value:{width}.{digits}f}" if value else f"{'-':>{width}}"


def ratio(row):
    return row["ours"] / row["ovs_dpdk_best"] if row["ovs_dpdk_best"] else None


def line(row):
    times = f"{ratio(row):.2f}x" if ratio(row) else "-"
    return (f"{row['name']:32} {row['flows']:>8} flows {row['bytes']:>5} B  ours {number(row['ours'], 5)}  "
            f"OVS-DPDK {number(row['ovs_dpdk_best'], 5)} ({row['ovs_mode'] or 'none'})  {times}")


HEAD = ("| table | flows | bytes | Sluice | cycles | OVS-DPDK best | its mode | cycles | ratio | source alone | testpmd |\n"
        "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|\n")


def table(rows):
    """Mpps per core-second, in Markdown, which reads as text as well."""
    out = HEAD
    for r in rows:
        mark = "*" if r["ovs_flows"] != r["flows"] else ""
        times = number(ratio(r), 1, 2)
        out += (f"| {r['name']} | {r['flows']:,} | {r['bytes']} | {number(r['ours'], 1)} | {number(r['cycles_ours'], 1, 0)} "
                f"| {number(r['ovs_dpdk_best'], 1)}{mark} | {r['ovs_mode'] or '-'} | {number(r['cycles_ovs'], 1, 0)} | {times} "
                f"| {number(r['source'], 1)} | {number(r['testpmd'], 1)} |\n")
    return out


def text_of(about, rows, short):
    kind = "short" if short else "long"
    return (f"{about['cpu']}, {about['processors']} processors, {about['mhz']} MHz, Linux {about['kernel']}, "
            f"peers on {about['peer_pages']} pages, {kind} form\n"
            "Mpps per core-second, medians; cycles per packet include the source.\n\n"
            + table(rows) + "\n* with 200,000 flows, or 100,000 connections: more cannot be fed to it from memory\n")


def write(out, rows, pages, short):
    about = machine(pages)
    rows = [with_cycles(r, about["mhz"]) for r in rows]
    with open(f"{out}/peers.json", "w") as f:
        json.dump({"machine": about, "short": short, "cells": rows}, f, indent=1)
    text = text_of(about, rows, short)
    with open(f"{out}/peers.txt", "w") as f:
        f.write(text)
    small = [r for r in rows if r["bytes"] == 64]
    counted = {name: sum(r["name"] == name for r in small) for name in {r["name"] for r in small}}
    small = [r for r in small if counted[r["name"]] > 2]
    for name, title, ours, theirs in (
        ("mpps", "Mpps per core-second", "ours", "ovs_dpdk_best"),
        ("cycles", "cycles per packet", "cycles_ours", "cycles_ovs"),
    ):
        with open(f"{out}/{name}.svg", "w") as f:
            f.write(plot.chart(title, small, ours, theirs))
    print("\n" + text)
    print(f"written: {out}/peers.json, peers.txt, mpps.svg, cycles.svg")
