"""One measurement: load for some seconds, and what it cost the proxy."""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

from . import tools
from .material import damaged

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 32


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


class Load:
    """wrk for HTTP/1.1, h2load for HTTP/2; one thread, on the core that the proxy does not have."""

    def __init__(self, material, core):
        self.material = material
        self.core = core

    def run(self, server, point, seconds):
        """Requests done, seconds taken, latencies in ms."""
        url = f"https://localhost:{server.port}/{point.kind}/{point.size}"
        fields = list(point.headers)
        if point.token != "none":
            # One token for the whole run: made once for each algorithm.
            fields.append(f"Authorization: Bearer {self.token(point)}")
        run = self.h2load if point.http2 else self.wrk
        done = run(url, fields, seconds, point)
        if done["requests"] == 0:
            tools.fail(f"{server.name}: {point.name}: no request was answered")
        return done

    def token(self, point):
        algorithm = {"es256": "ES256", "rs256": "RS256", "hs256": "HS256", "eddsa": "EdDSA"}[point.kind]
        cache = self.__dict__.setdefault("tokens", {})
        if algorithm not in cache:
            cache[algorithm] = self.material.token(algorithm)
        return damaged(cache[algorithm]) if point.token == "bad" else cache[algorithm]

    def wrk(self, url, fields, seconds, point):
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
        for one in fields:
            command += ["-H", one]
        said = self.output([*command, url], seconds)
        requests, taken = re.search(r"(\d+) requests in ([\d.]+\w+),", said).groups()
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        others = int(others.group(1)) if others else 0
        failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
        wanted = 0 if point.expected == 200 else int(requests)
        # Answers whose connection is closed on purpose are counted by wrk as read errors.
        closes = "Connection: close" in point.headers
        if others != wanted or (failed and not closes):
            tools.fail(f"{point.name}: not every answer was {point.expected}:\n{said}")
        percent = {name: milliseconds(re.search(rf"\b{name}%\s+([\d.]+\w+)", said).group(1)) for name in ("50", "99")}
        return {"requests": int(requests), "seconds": milliseconds(taken) / 1000, "p50": percent["50"], "p99": percent["99"]}

    def h2load(self, url, fields, seconds, point):
        log = pathlib.Path(self.material.path("h2load.log"))
        log.unlink(missing_ok=True)
        command = ["h2load", "-t1", f"-c{CONNECTIONS}", "-m1", "-D", str(seconds), f"--log-file={log}"]
        for one in fields:
            command += ["-H", one]
        self.output([*command, url], seconds)
        # start time in µs, status, duration in µs
        rows = [line.split("\t") for line in log.read_text().splitlines()]
        wrong = [row for row in rows if int(row[1]) != point.expected]
        # What was under way when the time was up is no answer.
        if len(wrong) > CONNECTIONS:
            tools.fail(f"{point.name}: not every answer was {point.expected}: {wrong[0]}")
        times = sorted(int(row[2]) / 1000 for row in rows if int(row[1]) == point.expected)
        if not times:
            tools.fail(f"{point.name}: no answer")
        return {
            "requests": len(times), "seconds": float(seconds),
            "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100],
        }

    def output(self, command, seconds):
        command = [tools.find("taskset"), "-c", str(self.core), tools.find(command[0]), *command[1:]]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=seconds + 30, check=False,
        )
        if done.returncode:
            tools.fail(f"{command[3]}: {done.stdout}")
        return done.stdout


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}[unit]


def measure(server, point, load, seconds):
    """What one request costs at this point. The 32 handshakes at the start are in it: under 1 % in 3 s."""
    pids = server.pids()
    before = cpu_seconds(pids)
    done = load.run(server, point, seconds)
    used = cpu_seconds(pids) - before
    return {
        "cpu_us": used * 1e6 / done["requests"],
        "requests_per_second": done["requests"] / done["seconds"],
        "p50_ms": done["p50"],
        "p99_ms": done["p99"],
        "rss_kib": rss_kib(pids),
    }


def system_calls(server, point, load):
    """System calls of one request, or None where nobody here may count them."""
    for count in (count_with_perf, count_with_strace):
        if (found := count(server, point, load)) is not None:
            return found
    return None


def count_with_perf(server, point, load):
    if not tools.find("perf"):
        return None
    pids = ",".join(map(str, server.pids()))
    command = [tools.find("perf"), "stat", "-x", ";", "-e", "raw_syscalls:sys_enter", "-p", pids]
    counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said, requests = counted(counter, server, point, load)
    found = re.search(r"^(\d+);", said, re.M)
    return int(found.group(1)) / requests if found and requests else None


def count_with_strace(server, point, load):
    if not tools.find("strace"):
        return None
    attach = [part for pid in server.pids() for part in ("-p", str(pid))]
    command = [tools.find("strace"), "-c", "-f", *attach]
    counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said, requests = counted(counter, server, point, load)
    # The last line: % time, seconds, usecs/call, calls, errors where there were any, "total".
    found = re.search(r"^100\.00\s+.*\stotal$", said, re.M)
    return int(found.group(0).split()[3]) / requests if found and requests else None


def counted(counter, server, point, load):
    """Load while the counter is attached; what it said, and how many requests there were."""
    time.sleep(0.5)  # to attach, which it does not announce; what it misses is some of the first calls
    if counter.poll() is not None:
        return counter.communicate()[1], 0
    requests = load.run(server, point, 1)["requests"]
    counter.send_signal(signal.SIGINT)
    return counter.communicate(timeout=30)[1], requests


def median(values):
    return statistics.median(values) if values else None
