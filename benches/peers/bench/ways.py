"""The ways to measure a point. Each takes the bench, a proxy, a point and seconds, and gives back figures, or what there
is to say where it cannot."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import socket
import subprocess
import sys
import time

from . import checks, load, measure, pace, points, tools
from .servers import QUESTION

IDLE = 2000
FEW = 50


class Absent(Exception):
    """The proxy cannot do this; the text says why."""


def closed(bench, proxy, point, seconds):
    """What a request costs under load in a closed loop."""
    if point.token == "many" and proxy.remembers:
        show_all(bench, proxy, point)
    before = remembered(proxy)
    figures = measure.cost(proxy, lambda: bench.load.run(proxy, point, seconds))
    if point.token in ("fresh", "many") and before is not None:
        share = (remembered(proxy) - before) / figures["requests"]
        if point.token == "fresh" and share > 0.02:
            tools.fail(f"{point.name}: {share:.0%} of the tokens were remembered")
        if point.token == "many" and share < 0.98:
            figures["caveat"] = f"only {share:.0%} of the tokens were remembered"
    return figures


def show_all(bench, proxy, point):
    """Shows every token twice, since other points have filled the memory with theirs."""
    shown = 0
    for _ in range(60):
        shown += bench.load.run(proxy, point, 1)["requests"]
        if shown >= 2 * load.MANY:
            return
    tools.fail(f"{proxy.name}: {point.name}: {shown} requests in a minute")


def remembered(proxy):
    """How many tokens Doorward found in its memory so far."""
    if proxy.name != "doorward":
        return None
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    found = re.search(r'^doorward_token_cache_total\{result="hit"\} (\d+)$', connection.getresponse().read().decode(), re.M)
    return int(found.group(1)) if found else 0


def paced(bench, proxy, point, seconds):
    """How long requests take at a fixed rate (pace.py)."""
    command = [
        tools.find("taskset"), "-c", str(bench.load.core), sys.executable, pace.__file__,
        "--port", str(proxy.port), "--path", f"/{point.kind}/{point.size}", "--ca", bench.material.path("tls.crt"),
        "--rate", str(points.RATE), "--seconds", str(seconds),
    ]
    if point.token == "one":
        command += ["--header", f"Authorization: Bearer {bench.load.token(point)}"]

    def run():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            tools.fail(f"{proxy.name}: {point.name}: {done.stderr}")
        return json.loads(done.stdout)

    return measure.cost(proxy, run)


def static(bench, proxy, point, seconds):
    """nginx answers 204 by itself, without TLS: the very question that a gateway is asked, or as little as a request can be."""
    if point.token != "none":
        point = asking(point, proxy)
    return measure.cost(proxy, lambda: bench.load.run(proxy, point, seconds, port=proxy.plain_port, path=QUESTION))


def forward_auth(bench, proxy, point, seconds):
    """nginx' question about a request with a known token, asked without TLS."""
    asked = bench.own(proxy, asked=True)
    fields = question(asked.port)
    status = checks.question(asked, fields["X-Original-URL"], bench.load.token(point))[0]
    if status == 404:
        raise Absent("not in this version: GET /auth/nginx is answered 404")
    if status not in (200, 204):
        tools.fail(f"forward-auth: a known token is answered {status}")
    point = asking(point, asked)
    run = lambda: bench.load.run(asked, point, seconds, port=asked.plain_port, path=QUESTION)
    return measure.cost(asked, run)


def asking(point, server):
    """The point with the fields of a question."""
    headers = tuple(f"{name}: {value}" for name, value in question(server.port).items())
    return points.Point(point.name, point.kind, token=point.token, headers=headers)


def question(port):
    """The fields of nginx' question about a request that came to this port."""
    return {
        "X-Original-Method": "GET", "X-Original-URL": f"https://localhost:{port}/es256/1k", "X-Forwarded-For": "127.0.0.9",
    }


def memory(bench, proxy, _point, _seconds):
    """What a fresh process holds with a few connections, after a request on each."""
    with fresh(proxy) as server, connections(server, FEW):
        return {"pss_mib": measure.memory_kib(server.pids()) / 1024}


def idle(bench, proxy, _point, _seconds):
    """What one more connection takes that has had a request and waits."""
    with fresh(proxy) as server, connections(server, FEW):
        before = measure.memory_kib(server.pids())
        with connections(server, IDLE):
            after = measure.memory_kib(server.pids())
            return {"kib_per_connection": (after - before) / IDLE}


@contextlib.contextmanager
def fresh(proxy):
    server = proxy.alone()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def connections(server, count):
    """So many TLS connections, each with one answer behind it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        tools.fail(f"{count} connections need more descriptors than {hard} (ulimit -n)")
    context = server.tls()
    held = []
    try:
        for _ in range(count):
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            held.append(context.wrap_socket(plain, server_hostname="localhost"))
            held[-1].sendall(f"GET /open/1k HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
            answer = b""
            # The body is 1024 bytes, the only line break in it none.
            while len(answer.partition(b"\r\n\r\n")[2]) < 1024:
                more = held[-1].recv(8192)
                if not more:
                    tools.fail(f"{server.name} closed connection {len(held)}: {answer[:200]!r}")
                answer += more
        time.sleep(0.5)  # what ends with a request may end
        yield
    finally:
        for one in held:
            one.close()


def routes(bench, proxy, point, seconds):
    """Requests to all routes in turn, as many different ones as there are."""
    count, hosts = point.more
    server = bench.own(proxy, routes=count, hosts=hosts)
    name = f"routes.{count}.{hosts}.requests"
    if not (bench.material.folder / name).exists():
        places = [server.place(number) for number in range(count)]
        # As many lines for few routes as for many: the load generator's own cost is the same.
        lines = (places[number * 7919 % count] for number in range(load.MANY))
        bench.material.write(name, "".join(f"{path}/1k\t{host if hosts else ''}\t\n" for host, path in lines))
    lines = bench.material.path(name)
    return measure.cost(server, lambda: bench.load.run(server, point, seconds, lines=lines))


def workers(bench, proxy, point, seconds):
    """Throughput of several workers, with load and backend on the cores that are left."""
    (count,) = point.more
    cores = bench.cores
    server = bench.own(proxy, workers=count, core=",".join(str(core) for core in cores[:count]))
    left = cores[count:] if len(cores) >= 4 else cores
    # Load and backend share what is left; on two cores they share with the workers too.
    backend = bench.backend.pids()
    for pid in backend:
        os.sched_setaffinity(pid, left)
    kept, bench.load.core = bench.load.core, ",".join(str(core) for core in left)
    try:
        path = "/open/1k"
        figures = measure.cost(server, lambda: bench.load.run(server, point, seconds, path=path))
    finally:
        bench.load.core = kept
        for pid in backend:
            os.sched_setaffinity(pid, {kept})
    if len(cores) < 4:
        figures["caveat"] = f"{len(cores)} cores for proxy, load and backend together: says nothing about free cores"
    return figures


WAYS = {
    way.__name__: way for way in (closed, paced, static, forward_auth, memory, idle, routes, workers)
}
