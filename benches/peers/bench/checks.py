"""Before anything is measured: does each proxy do the work that the figures are for?"""

import http.client
import time

from . import tools
from .material import ALGORITHMS, SUBJECT, damaged
from .servers import QUESTION


def ask(server, path, token=None, headers=None):
    """Status, body and header fields of one request over TLS."""
    connection = http.client.HTTPSConnection("localhost", server.port, context=server.tls(), timeout=10)
    fields = dict(headers or {})
    if token:
        fields["Authorization"] = f"Bearer {token}"
    connection.request("GET", path, headers=fields)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers


def check(server, material):
    def expect(what, found, wanted):
        if found != wanted:
            tools.fail(f"{server.name}: {what}: {found!r} instead of {wanted!r}")

    forged = {"X-User": "mallory"}
    status, body, _ = ask(server, "/open/seen", headers=forged)
    expect("an open path with a forged X-User", (status, body), (200, "user=;"))
    status, body, _ = ask(server, "/open/1k")
    expect("1 KiB", (status, len(body)), (200, 1024))
    status, body, _ = ask(server, "/open/64k")
    expect("64 KiB", (status, len(body)), (200, 65536))
    for algorithm in ALGORITHMS:
        path = f"/{algorithm.lower()}/seen"
        if algorithm.lower() not in server.can:
            continue
        good = material.token(algorithm)
        other = next(name for name in ALGORITHMS if name != algorithm and name.lower() in server.can)
        expired = material.token(algorithm, exp=int(time.time()) - 3600)
        for what, token, wanted in (
            ("no token", None, 401),
            ("a damaged signature", damaged(good), 401),
            ("an expired token", expired, 401),
            ("another audience", material.token(algorithm, aud="other"), (401, 403)),
            ("another role", material.token(algorithm, roles=["staff"]), 403),
        ):
            status = ask(server, path, token, forged)[0]
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            expect(f"{algorithm}: {what}", status if status not in wanted else wanted, wanted)
        # Doorward takes any of its issuers on any route, so only what the token says of itself is crossed here.
        crossed = material.token(other, iss=f"https://{algorithm.lower()}.issuer.test")
        expect(f"{algorithm}: signed by {other}", ask(server, path, crossed, forged)[0], 401)
        status, body, _ = ask(server, path, good, forged)
        expect(f"{algorithm}: a good token", (status, body), (200, f"user={SUBJECT};"))


def question(server, url, token=None, method="GET", more=None):
    """nginx' question about a request, asked without TLS: status and header fields of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.plain_port, timeout=10)
    fields = {"X-Original-Method": method, "X-Original-URL": url, "X-Forwarded-For": "127.0.0.9", **(more or {})}
    if token:
        fields["Authorization"] = f"Bearer {token}"
    connection.request("GET", QUESTION, headers=fields)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def check_questions(server, material):
    """Whoever answers forward-auth questions decides about the request that is asked about."""
    def expect(what, found, wanted):
        if found != wanted:
            tools.fail(f"{server.name}: forward-auth: {what}: {found!r} instead of {wanted!r}")

    url = f"https://localhost:{server.port}"
    good = material.token("ES256")
    # It listens before it has read its store, and refuses every token until then.
    until = time.monotonic() + 10
    while question(server, f"{url}/es256/1k", good)[0] != 200 and time.monotonic() < until:
        time.sleep(0.05)
    for what, token, path, wanted in (
        ("an open path", None, "/open/1k", 200),
        ("no token", None, "/es256/1k", 401),
        ("a damaged signature", damaged(good), "/es256/1k", 401),
        ("an expired token", material.token("ES256", exp=int(time.time()) - 3600), "/es256/1k", 401),
        ("another role", material.token("ES256", roles=["staff"]), "/es256/1k", 403),
        ("no route", good, "/nowhere", 403),
        ("a path that climbs", good, "/open/../es256/1k", 403),
    ):
        expect(what, question(server, url + path, token)[0], wanted)
    expect("no URL", question(server, "", good)[0], 403)
    status, fields = question(server, f"{url}/es256/1k", good, more={"X-User": "mallory"})
    expect("a good token", (status, fields["X-User"]), (200, SUBJECT))


def must_refuse(server, material):
    """Fails unless the checks refuse this one."""
    try:
        check(server, material)
    except SystemExit as refusal:
        if server.found_out in str(refusal):
            return
        raise
    tools.fail(f"the checks believe {server.name}: they cannot be believed")
