"""What is measured: one entry a point.

A point's `way` says how (see ways.py), its `figure` what is compared, and its ratio is taken within one round: against
the same point of HAProxy, or where the entry says so against another point or another program. `must` and `superb` are
Doorward's own targets for that ratio, or where there is no ratio for the figure itself.
"""

from dataclasses import dataclass

# What a browser sends besides Host; twelve fields.
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: https://localhost/open/",
    "DNT: 1",
    "Cookie: theme=dark; consent=1; _ga=GA1.1.1234567890.1700000000",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Priority: u=0, i",
)

# What figures are called in tables.
UNITS = {
    "cpu_us": "CPU µs",
    "p99_ms": "p99 ms",
    "pss_mib": "MiB",
    "kib_per_connection": "KiB",
    "requests_per_second": "req/s",
}


@dataclass(frozen=True)
class Point:
    """One row of the table."""

    name: str
    # The first segment of the path, which says what the proxy has to do; `Server.can` names who can.
    kind: str
    # The response: 1k or 64k.
    size: str = "1k"
    headers: tuple = ()
    # none; one: the same good token each time; many: 10,000 good ones in turn; fresh: each one new; bad: one whose
    # signature does not fit
    token: str = "none"
    http2: bool = False
    way: str = "closed"
    figure: str = "cpu_us"
    # Which point the ratio is taken against, its own where none is named; and whose: "self" is the same proxy.
    against: str = ""
    base: str = "haproxy"
    must: float = None
    superb: float = None
    # Whether the short list has it.
    short: bool = False
    # What ways.py needs to know beside.
    more: tuple = ()

    @property
    def expected(self):
        return 401 if self.token == "bad" else 200


WARM = {"must": 0.30, "superb": 0.20}
RATE = 2000

POINTS = (
    Point("open", "open", short=True, must=1.10, superb=0.90),
    Point("open, browser headers", "open", headers=BROWSER, short=True, must=1.10, superb=0.90),
    Point("ES256 warm", "es256", token="one", short=True, **WARM),
    Point("ES256 warm, browser headers", "es256", headers=BROWSER, token="one", **WARM),
    Point("ES256 warm, 10,000 tokens", "es256", token="many", against="ES256 warm", **WARM),
    Point("EdDSA warm", "eddsa", token="one", against="ES256 warm", **WARM),
    Point("EdDSA warm, 10,000 tokens", "eddsa", token="many", against="ES256 warm", **WARM),
    Point("RS256 warm", "rs256", token="one", must=0.50, superb=0.38),
    Point("RS256 warm, 10,000 tokens", "rs256", token="many", against="RS256 warm", must=0.50, superb=0.38),
    Point("HS256 warm", "hs256", token="one", must=0.75, superb=0.55),
    Point("HS256 warm, 10,000 tokens", "hs256", token="many", against="HS256 warm", must=0.75, superb=0.55),
    Point("ES256 cold", "es256", token="fresh", must=0.85, superb=0.70),
    Point("ES256 bad signature", "es256", token="bad", must=0.95, superb=0.80),
    Point("new TLS connection", "open", headers=("Connection: close",), must=0.80, superb=0.60),
    Point("open, HTTP/2", "open", http2=True, must=1.6, superb=1.0),
    Point("ES256 warm, HTTP/2", "es256", token="one", http2=True, must=0.45, superb=0.30),
    Point("open, 64 KiB", "open", size="64k", must=1.0, superb=0.80),
    Point("open at 2,000/s", "open", way="paced", figure="p99_ms", must=0.7, superb=0.35),
    Point("ES256 warm at 2,000/s", "es256", token="one", way="paced", figure="p99_ms", must=0.7, superb=0.35),
    Point("static 204, bare request", "static", way="static", base="nginx"),
    Point("static 204", "static", token="one", way="static", base="nginx"),
    Point("forward-auth", "forward-auth", token="one", way="forward_auth", against="static 204", base="nginx",
          must=2.0, superb=1.3),
    Point("memory, 50 connections", "open", way="memory", figure="pss_mib"),
    Point("memory of an idle connection", "open", way="idle", figure="kib_per_connection"),
    Point("10 routes", "routes", way="routes", base="self", more=(10, 0)),
    Point("10,000 routes", "routes", way="routes", against="10 routes", base="self", must=1.2, superb=1.05,
          more=(10_000, 0)),
    Point("10,000 routes, 1,000 hosts", "routes", way="routes", against="10 routes", base="self", must=1.2,
          superb=1.05, more=(10_000, 1_000)),
    Point("1 worker", "workers", way="workers", figure="requests_per_second", base="self", more=(1,)),
    Point("2 workers", "workers", way="workers", figure="requests_per_second", against="1 worker", base="self",
          must=1.8, superb=1.95, more=(2,)),
)

# Figures that are held against themselves, not against a peer: MiB, KiB, system calls.
ABSOLUTE = {
    "memory, 50 connections": (14, 8),
    "memory of an idle connection": (26, 22),
}
SYSTEM_CALLS = (4.5, 4.2)
# What authentication adds to a proxy's own work: one point divided by another of the same proxy.
OWN = ("ES256 warm", "open", 1.15, 1.07)


def chosen(names):
    """The points of these names; `short` and `all` name lists."""
    if names == "all":
        return POINTS
    if names == "short":
        return tuple(point for point in POINTS if point.short)
    wanted = [name.strip() for name in names.split(";")]
    by_name = {point.name: point for point in POINTS}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise SystemExit(f"error: no point {unknown[0]!r}; there are: " + "; ".join(by_name))
    return tuple(by_name[name] for name in wanted)
