"""Load in a closed loop: wrk for HTTP/1.1, h2load for HTTP/2. The next request of a connection goes out when the last one
was answered, so this says what requests cost; how long they take under a load that does not wait is what pace.py says."""

import pathlib
import re
import subprocess

from . import tools
from .material import damaged

CONNECTIONS = 32
# Tokens that are shown in turn, as many as Doorward and Envoy remember; and tokens that are shown once, so many that none
# comes again before it is forgotten.
MANY = 10_000
FRESH = 60_000
NAMES = {"es256": "ES256", "rs256": "RS256", "hs256": "HS256", "eddsa": "EdDSA"}

# Reads requests from a file, a line each: path, host and token, what is empty stays as it is.
SCRIPT = """
local requests, at = {}, tonumber(os.getenv("PEERS_FROM"))
function init()
    for line in io.lines(os.getenv("PEERS_REQUESTS")) do
        local path, host, token = line:match("^(.-)\\t(.-)\\t(.*)$")
        if host ~= "" then wrk.headers["Host"] = host end
        if token ~= "" then wrk.headers["Authorization"] = "Bearer " .. token end
        requests[#requests + 1] = wrk.format("GET", path)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
"""


class Load:
    """One thread, on the core that the proxy does not have."""

    def __init__(self, material, core):
        self.material = material
        self.core = core
        self.tokens = {}
        # How far each proxy has come in the tokens that are shown once.
        self.shown = {}

    def run(self, server, point, seconds, port=None, path=None, lines=None):
        """Requests done, seconds taken, latencies in ms. `lines` are the requests to send in turn, where they differ."""
        scheme = "http" if port else "https"
        url = f"{scheme}://localhost:{port or server.port}{path or f'/{point.kind}/{point.size}'}"
        fields = list(point.headers)
        if point.token in ("one", "bad"):
            fields.append(f"Authorization: Bearer {self.token(point)}")
        if point.token in ("many", "fresh"):
            lines = self.lines(point)
        if point.http2:
            return self.h2load(url, fields, seconds, point)
        place = (id(server), lines)
        # Tokens go on where they stopped: those that are shown once, and those that all are to be shown.
        start = self.shown.get(place, 0)
        done = self.wrk(url, fields, seconds, point, lines, start)
        self.shown[place] = (start + done["requests"] + CONNECTIONS) % FRESH
        return done

    def token(self, point):
        """The one token of this point; made once for each algorithm."""
        algorithm = NAMES.get(point.kind, "ES256")
        if algorithm not in self.tokens:
            self.tokens[algorithm] = self.material.token(algorithm)
        return damaged(self.tokens[algorithm]) if point.token == "bad" else self.tokens[algorithm]

    def lines(self, point):
        """A file with a request for each of many tokens."""
        count = MANY if point.token == "many" else FRESH
        name = f"{point.kind}.{count}.requests"
        if not (self.material.folder / name).exists():
            tokens = pathlib.Path(self.material.tokens(NAMES[point.kind], count)).read_text().splitlines()
            path = f"/{point.kind}/{point.size}"
            self.material.write(name, "".join(f"{path}\t\t{token}\n" for token in tokens))
        return self.material.path(name)

    def wrk(self, url, fields, seconds, point, lines=None, start=0):
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
        for one in fields:
            command += ["-H", one]
        environment = {}
        if lines:
            command += ["-s", self.material.write("requests.lua", SCRIPT)]
            environment = {"PEERS_REQUESTS": lines, "PEERS_FROM": str(start)}
        said = self.output([*command, url], seconds, environment)
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
        return {
            "requests": len(times), "seconds": float(seconds),
            "p50": times[len(times) // 2] if times else 0, "p99": times[len(times) * 99 // 100] if times else 0,
        }

    def output(self, command, seconds, environment=None):
        command = [tools.find("taskset"), "-c", str(self.core), tools.find(command[0]), *command[1:]]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=seconds + 60, check=False, env=tools.environment(environment),
        )
        if done.returncode:
            tools.fail(f"{command[3]}: {done.stdout}")
        return done.stdout


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}[unit]
