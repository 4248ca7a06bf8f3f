"""Medians over rounds, ratios within a round, as a table and as JSON."""

import json
import os
import pathlib
import platform
import re

from .measure import median

BASE = "haproxy"


def summary(points, results):
    """`results[point][proxy]` is the list of its rounds."""
    by_name = {point.name: point for point in points}
    rows = []
    for name, proxies in results.items():
        against = by_name[name].against or name
        base = results.get(against, {}).get(BASE, [])
        for proxy, rounds in proxies.items():
            figures = {key: median([one[key] for one in rounds]) for key in rounds[0] if key != "system_calls"}
            ratios = [one["cpu_us"] / other["cpu_us"] for one, other in zip(rounds, base)]
            calls = [one["system_calls"] for one in rounds if one.get("system_calls")]
            rows.append({
                "point": name, "proxy": proxy, "cpu_ratio": median(ratios),
                "cpu_ratio_range": [min(ratios), max(ratios)] if ratios else None,
                **figures, "system_calls": median(calls), "rounds": len(rounds),
            })
    return rows


def table(rows):
    head = ["point", "proxy", "CPU µs", "× HAProxy", "(range)", "req/s", "p50 ms", "p99 ms", "RSS MiB", "syscalls"]
    lines = [head]
    for row in rows:
        spread = row["cpu_ratio_range"]
        lines.append([
            row["point"], row["proxy"], f"{row['cpu_us']:.1f}", number(row["cpu_ratio"], 2),
            f"{spread[0]:.2f}-{spread[1]:.2f}" if spread else "", f"{row['requests_per_second']:.0f}",
            f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['rss_kib'] / 1024:.1f}", number(row["system_calls"], 1),
        ])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = []
    for line in lines:
        cells = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths))]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"


def environment(servers):
    cpu = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg(),
        "versions": {server.name: server.version() for server in servers},
    }


def write(path, content):
    pathlib.Path(path).write_text(json.dumps(content, indent=2) + "\n")
