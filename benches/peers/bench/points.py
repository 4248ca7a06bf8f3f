"""What is measured: one entry a point."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Point:
    """One row of the table."""

    name: str
    # The first segment of the path, which says what the proxy has to do; `Server.can` names who can.
    kind: str
    # The response: 1k or 64k.
    size: str = "1k"
    headers: tuple = ()
    # none, one: the same good token each time, bad: one whose signature does not fit
    token: str = "none"
    http2: bool = False
    # Which point of HAProxy the ratio is taken against; its own where none is named.
    against: str = ""
    # Whether the short list has it.
    short: bool = field(default=False)

    @property
    def expected(self):
        return 401 if self.token == "bad" else 200


POINTS = (
    Point("open", "open", short=True),
    Point("open, browser headers", "open", headers=BROWSER, short=True),
    Point("ES256 warm", "es256", token="one", short=True),
    Point("ES256 warm, browser headers", "es256", headers=BROWSER, token="one"),
    Point("EdDSA warm", "eddsa", token="one", against="ES256 warm"),
    Point("RS256 warm", "rs256", token="one"),
    Point("HS256 warm", "hs256", token="one"),
    Point("ES256 bad signature", "es256", token="bad"),
    Point("new TLS connection", "open", headers=("Connection: close",)),
    Point("open, 64 KiB", "open", size="64k"),
    Point("open, HTTP/2", "open", http2=True),
    Point("ES256 warm, HTTP/2", "es256", token="one", http2=True),
)


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
