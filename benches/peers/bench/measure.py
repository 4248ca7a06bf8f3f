"""What a measurement cost the proxy: processor time, memory, system calls."""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

from . import tools

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    """User and system time of these processes so far."""
    total = 0
    for pid in pids:
        # Behind the name, which is in parentheses and may hold anything: fields 14 and 15 of proc(5).
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_kib(pids):
    total = 0
    for pid in pids:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        total += int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1))
    return total


def memory_kib(pids):
    """Proportional set size: what several processes share counts once. Where that may not be read, the resident one."""
    try:
        pages = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
        return sum(int(re.search(r"^Pss:\s+(\d+) kB", page, re.M).group(1)) for page in pages)
    except OSError:
        return rss_kib(pids)


def cost(server, run):
    """What one request of this run costs. The handshakes at its start are in it: under 1 % in 3 s."""
    pids = server.pids()
    for _ in range(3):
        before = cpu_seconds(pids)
        done = run()
        used = cpu_seconds(pids) - before
        if done["requests"]:
            break
        # On a machine that is very busy with other things load and backend may not get a turn.
    else:
        tools.fail(f"{server.name}: no request was answered")
    more = {name: done[name] for name in ("p999", "max", "late_p99_ms") if name in done}
    return {
        "cpu_us": used * 1e6 / done["requests"],
        "requests": done["requests"],
        "requests_per_second": done["requests"] / done["seconds"],
        "p50_ms": done["p50"],
        "p99_ms": done["p99"],
        "rss_kib": rss_kib(pids),
        **more,
    }


def system_calls(server, run):
    """System calls of one request, or None where nobody here may count them. `run` gives back how many there were."""
    for count in (count_with_perf, count_with_strace):
        if (found := count(server, run)) is not None:
            return found
    return None


def count_with_perf(server, run):
    if not tools.find("perf"):
        return None
    pids = ",".join(map(str, server.pids()))
    command = [tools.find("perf"), "stat", "-x", ";", "-e", "raw_syscalls:sys_enter", "-p", pids]
    counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said, requests = counted(counter, run)
    found = re.search(r"^(\d+);", said, re.M)
    return int(found.group(1)) / requests if found and requests else None


def count_with_strace(server, run):
    if not tools.find("strace"):
        return None
    attach = [part for pid in server.pids() for part in ("-p", str(pid))]
    command = [tools.find("strace"), "-c", "-f", *attach]
    counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said, requests = counted(counter, run)
    # The last line: % time, seconds, usecs/call, calls, errors where there were any, "total".
    found = re.search(r"^100\.00\s+.*\stotal$", said, re.M)
    return int(found.group(0).split()[3]) / requests if found and requests else None


def counted(counter, run):
    """Load while the counter is attached; what it said, and how many requests there were."""
    time.sleep(0.5)  # to attach, which it does not announce; what it misses is some of the first calls
    if counter.poll() is not None:
        return counter.communicate()[1], 0
    requests = run()
    counter.send_signal(signal.SIGINT)
    return counter.communicate(timeout=30)[1], requests


def median(values):
    return statistics.median(values) if values else None
