"""Requests at a fixed rate, whether the last ones were answered or not, and how long each took since it was due.

    python3 pace.py --port P --path /open/1k --ca FILE [--rate 2000] [--seconds 3] [--connections 64] [--header "N: V"]…

An open loop: request k is due at start + k / rate and goes to connection k modulo the connections. Where that one still
waits for an answer, the request waits too, and its time counts from when it was due: a server that stalls cannot make the
load wait for it and so hide the stall (coordinated omission). Prints one JSON object; `late_p99_ms` is how late the
generator itself was with requests whose connection was free: latencies below that say nothing.
"""

import argparse
import collections
import gc
import json
import re
import select
import socket
import ssl
import sys
import time

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
# Seconds without any answer after which the run is given up.
PATIENCE = 10


class Connection:
    def __init__(self, port, context, request):
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.request = request
        # When each request was due that has not gone out yet; and the one that is out.
        self.waiting = collections.deque()
        self.out = None
        self.got = b""
        self.warm_up()
        self.socket.setblocking(False)

    def warm_up(self):
        self.socket.sendall(self.request)
        while not self.whole():
            self.got += self.more()
        self.got = b""

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            sys.exit("error: the server closed a connection")
        return data

    def whole(self):
        """Whether a whole answer is here; ends everything if it is not 200."""
        end = self.got.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self.got.startswith(b"HTTP/1.1 200"):
            sys.exit(f"error: {self.got[:end].decode(errors='replace')}")
        length = LENGTH.search(self.got, 0, end + 2)
        if not length:
            sys.exit("error: an answer without Content-Length")
        return len(self.got) >= end + 4 + int(length.group(1))

    def send(self):
        self.out = self.waiting.popleft()
        # A request is far smaller than any socket buffer: it goes out as a whole.
        self.socket.send(self.request)

    def read(self):
        """Takes what has come; tells when the answer was due if it is whole."""
        try:
            while True:
                self.got += self.more()
        except ssl.SSLWantReadError:
            pass
        if not self.whole():
            return None
        self.got, due, self.out = b"", self.out, None
        return due


def run(connections, rate, seconds):
    total = int(rate * seconds)
    by_socket = {one.socket: one for one in connections}
    sockets = list(by_socket)
    latencies, late = [], []
    start = time.monotonic() + 0.1
    sent, last = 0, start
    gc.disable()
    while len(latencies) < total:
        now = time.monotonic()
        while sent < total and start + sent / rate <= now:
            one = connections[sent % len(connections)]
            one.waiting.append(start + sent / rate)
            if one.out is None:
                late.append(now - one.waiting[0])
                one.send()
            sent += 1
        pause = max(0.0, start + sent / rate - time.monotonic()) if sent < total else 1.0
        for ready in select.select(sockets, (), (), pause)[0]:
            one = by_socket[ready]
            due = one.read()
            if due is None:
                continue
            last = time.monotonic()
            latencies.append(last - due)
            if one.waiting:
                one.send()
        if time.monotonic() - max(last, start) > PATIENCE:
            sys.exit(f"error: no answer in {PATIENCE} s")
    return {
        "requests": total, "seconds": last - start,
        "p50": percentile(latencies, 50), "p99": percentile(latencies, 99), "p999": percentile(latencies, 99.9),
        "max": max(latencies) * 1000, "late_p99_ms": percentile(late, 99) if late else 0.0,
    }


def percentile(values, which):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * which / 100))] * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args()
    context = ssl.create_default_context(cafile=options.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    fields = "".join(f"{field}\r\n" for field in options.header)
    request = f"GET {options.path} HTTP/1.1\r\nHost: localhost:{options.port}\r\n{fields}\r\n".encode()
    connections = [Connection(options.port, context, request) for _ in range(options.connections)]
    print(json.dumps(run(connections, options.rate, options.seconds)))


if __name__ == "__main__":
    main()
