"""Medians over rounds, ratios within a round, as tables and as JSON."""

import json
import os
import pathlib
import platform
import re

from . import points as all_points
from .measure import median

NEVER = ("system_calls", "caveat")


def summary(points, results, absent):
    """`results[point][proxy]` is the list of its rounds; `absent[point][proxy]` why there is none."""
    by_name = {point.name: point for point in points}
    rows = []
    for name, proxies in results.items():
        point = by_name[name]
        for proxy, rounds in proxies.items():
            base = results.get(point.against or name, {}).get(proxy if point.base == "self" else point.base, [])
            ratios = [one[point.figure] / other[point.figure] for one, other in zip(rounds, base) if other[point.figure]]
            calls = [one["system_calls"] for one in rounds if one.get("system_calls")]
            rows.append({
                "point": name, "proxy": proxy, "figure": median([one[point.figure] for one in rounds]),
                "unit": all_points.UNITS[point.figure], "ratio": median(ratios),
                "ratio_range": [min(ratios), max(ratios)] if ratios else None,
                **{key: median([one[key] for one in rounds]) for key in rounds[0] if key not in NEVER},
                "system_calls": median(calls), "caveat": rounds[0].get("caveat"), "rounds": len(rounds),
            })
    for name, proxies in absent.items():
        rows += [{"point": name, "proxy": proxy, "absent": why} for proxy, why in proxies.items()]
    return rows


def overview(points, rows, proxies):
    """One line a point: HAProxy's figure (or the one that takes its place), everybody's ratio to it, our targets. In
    parentheses stand figures themselves where there is no ratio, or where the target is one for the figure."""
    found = {(row["point"], row["proxy"]): row for row in rows}
    lines = [["point", "unit", "figure of", *(f"× {name}" for name in proxies), "must", "superb"]]
    for point in points:
        whose = "doorward" if point.base == "self" else point.base
        base = found.get((point.against or point.name, whose))
        cells = []
        for name in proxies:
            row = found.get((point.name, name))
            if row is None:
                cells.append("-")
            elif "absent" in row:
                cells.append("absent")
            elif row["ratio"] is None or point.name in all_points.ABSOLUTE:
                cells.append(f"({number(row['figure'])})")
            else:
                cells.append(f"{row['ratio']:.2f}")
        lines.append([
            point.name, all_points.UNITS[point.figure], f"{whose} {number(base['figure'])}" if base else whose,
            *cells, *targets(point),
        ])
    return aligned(lines, 3)


def targets(point):
    must, superb = all_points.ABSOLUTE.get(point.name, (point.must, point.superb))
    return ["" if target is None else str(target) for target in (must, superb)]


def details(rows):
    head = ["point", "proxy", "figure", "", "×", "(range)", "req/s", "p50 ms", "p99 ms", "RSS MiB", "syscalls"]
    lines = [head]
    for row in rows:
        if "absent" in row:
            lines.append([row["point"], row["proxy"], row["absent"], *[""] * 8])
            continue
        spread = row["ratio_range"]
        rss = row.get("rss_kib")
        lines.append([
            row["point"], row["proxy"], number(row["figure"]), row["unit"], number(row["ratio"], 2),
            f"{spread[0]:.2f}-{spread[1]:.2f}" if spread else "", number(row.get("requests_per_second"), 0),
            number(row.get("p50_ms"), 2), number(row.get("p99_ms"), 2), number(rss and rss / 1024), number(row["system_calls"]),
        ])
    return aligned(lines, 2)


def remarks(rows):
    """What must be said beside the tables."""
    found = {(row["point"], row["proxy"]): row for row in rows}
    lines = []
    warm, plain, must, superb = all_points.OWN
    for proxy in dict.fromkeys(row["proxy"] for row in rows):
        one, other = found.get((warm, proxy)), found.get((plain, proxy))
        if one and other:
            lines.append(
                f"{proxy}: {warm} ÷ its own {plain}: {one['figure'] / other['figure']:.2f}"
                + (f" (must {must}, superb {superb})" if proxy == "doorward" else "")
            )
    ours = found.get(("open", "doorward"))
    if ours and ours["system_calls"]:
        must, superb = all_points.SYSTEM_CALLS
        lines.append(f"doorward: system calls of a request: {ours['system_calls']:.1f} (must {must}, superb {superb})")
    lines += [f"{row['point']}, {row['proxy']}: {row['absent']}" for row in rows if "absent" in row]
    lines += [f"{row['point']}, {row['proxy']}: {row['caveat']}" for row in rows if row.get("caveat")]
    late = [row["late_p99_ms"] for row in rows if row.get("late_p99_ms") is not None]
    if late:
        lines.append(f"the paced load was itself late by up to {max(late):.2f} ms (p99): smaller differences say nothing")
    return "\n".join(lines)


def aligned(lines, left):
    """Columns, the first ones to the left."""
    widths = [max(len(line[column]) for line in lines if line[3:] != [""] * 8) for column in range(len(lines[0]))]
    shown = []
    for line in lines:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths))
        ]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def number(value, digits=1):
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
