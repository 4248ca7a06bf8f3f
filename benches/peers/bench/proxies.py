"""The proxies: the same work for each, in each one's own words.

Every proxy listens with TLS 1.3 and forwards plain HTTP/1.1 over kept-alive connections. Below `/open/` it only
forwards, and takes away the client's X-User. Below `/es256/`, `/rs256/`, `/hs256/`, `/eddsa/` it verifies the bearer
token's algorithm, signature, issuer, audience and expiry (else 401), wants the role (else 403), and sets X-User from the
claim in place of the client's. None writes an access log; each has one worker. Envoy is in envoy.py, those that come
without JWT verification in simple.py.
"""

import json

from . import tools
from .material import AUDIENCE, ROLE, issuer
from .servers import QUESTION, Server, free_port


class Haproxy(Server):
    name = "haproxy"
    can = ("open", "es256", "rs256", "hs256")

    def __init__(self, material, core, backend):
        super().__init__(material, core)
        self.backend = backend

    def command(self):
        rules = "\n".join(self.rules(algorithm) for algorithm in ("ES256", "RS256", "HS256"))
        configuration = f"""
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 60s
    timeout http-request 10s
    http-reuse always
frontend tls
    bind 127.0.0.1:{self.port} ssl crt {self.material.path('tls.pem')} alpn h2,http/1.1 ssl-min-ver TLSv1.3
    http-request del-header X-User
    acl protected path_beg /es256/ /rs256/ /hs256/
    http-request deny deny_status 404 unless protected or {{ path_beg /open/ }}
    http-request deny deny_status 401 hdr WWW-Authenticate Bearer if protected !{{ http_auth_bearer -m found }}
    http-request set-var(txn.token) http_auth_bearer if protected
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg') if protected
    http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss') if protected
    http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud') if protected
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int') if protected
    # HAProxy 2.6 reads no arrays: the first role has to be the one. A little less work than the others have.
    http-request set-var(txn.roles) var(txn.token),jwt_payload_query('$.roles[0]') if protected
    http-request set-var(txn.now) date() if protected
{rules}
    acl live var(txn.exp),sub(txn.now) -m int gt 0
    http-request deny deny_status 401 hdr WWW-Authenticate Bearer if protected !live
    http-request deny deny_status 401 hdr WWW-Authenticate Bearer if protected !{{ var(txn.aud) -m str {AUDIENCE} }}
    http-request deny deny_status 403 if protected !{{ var(txn.roles) -m str {ROLE} }}
    http-request set-header X-User %[var(txn.token),jwt_payload_query('$.sub')] if protected
    http-request del-header Authorization if protected
    default_backend app
backend app
    server one 127.0.0.1:{self.backend.port} pool-max-conn 64
"""
        return [tools.find("haproxy"), "-db", "-f", self.write("haproxy.cfg", configuration)]

    def rules(self, algorithm):
        key = self.material.secret if algorithm == "HS256" else self.material.path(f"{algorithm}.pub")
        refuse = "http-request deny deny_status 401 hdr WWW-Authenticate Bearer if"
        path = f"{{ path_beg /{algorithm.lower()}/ }}"
        return "\n".join(
            f"    {refuse} {path} !{{ {check} }}"
            for check in (
                f"var(txn.alg) -m str {algorithm}",
                f"var(txn.iss) -m str {issuer(algorithm)}",
                f'var(txn.token),jwt_verify("{algorithm}","{key}") 1',
            )
        )

    def version(self):
        return tools.version([tools.find("haproxy"), "-v"])


class Nginx(Server):
    """TLS and forwarding only: Debian's nginx verifies no tokens. On a plain port it answers 204 itself."""

    name = "nginx"
    can = ("open", "static")
    # What it does to the client's X-User.
    forged = 'proxy_set_header X-User "";'
    # Which paths it forwards.
    taken = "/open/"

    def __init__(self, material, core, backend):
        super().__init__(material, core)
        self.backend = backend
        self.plain_port = free_port()

    def command(self):
        configuration = f"""
worker_processes 1;
daemon off;
error_log stderr warn;
pid {self.folder}/pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
    upstream app {{ server 127.0.0.1:{self.backend.port}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{self.port} ssl http2 backlog=2048;
        ssl_certificate {self.material.path('tls.crt')};
        ssl_certificate_key {self.material.path('tls.key')};
        ssl_protocols TLSv1.3;
        location {self.taken} {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            {self.forged}
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
    server {{
        listen 127.0.0.1:{self.plain_port} backlog=2048;
        location = {QUESTION} {{ return 204; }}
    }}
}}
"""
        return [tools.find("nginx"), "-p", str(self.folder), "-e", "stderr", "-c", self.write("nginx.conf", configuration)]

    def version(self):
        return tools.version([tools.find("nginx"), "-v"])


class Credulous(Nginx):
    """Believes the client's X-User: what the checks must find out."""

    name = "credulous"
    can = ("open",)
    forged = 'proxy_set_header X-User $http_x_user;'
    found_out = "forged X-User"


class Careless(Nginx):
    """Says that it verifies, and forwards everything: this too."""

    name = "careless"
    can = ("open", "es256", "rs256")
    taken = "/"
    found_out = "no token"


class Doorward(Server):
    """With one worker; or with more, with further routes, or as a server of forward-auth questions, for the points that
    are about these."""

    name = "doorward"
    remembers = True
    can = ("open", "es256", "rs256", "hs256", "eddsa", "forward-auth", "routes", "workers")

    def __init__(self, material, core, backend, program, workers=1, routes=0, hosts=0, asked=False):
        super().__init__(material, core)
        self.backend = backend
        self.program = program
        self.workers, self.routes, self.hosts, self.asked = workers, routes, hosts, asked
        self.admin_port = free_port()
        self.plain_port = free_port()

    def alone(self, core=None, **more):
        return Doorward(self.material, core or self.core, self.backend, self.program, **more)

    def command(self):
        return [self.program, "serve", "--config", self.write("doorward.toml", self.configuration())]

    def configuration(self):
        quoted = json.dumps  # TOML's basic strings are JSON's
        # Who asks for forward-auth must be known as a proxy.
        asked = ("trusted_proxies = [\"127.0.0.1/32\"]\n", f"""
[[listeners]]
address = "127.0.0.1:{self.plain_port}"
protocol = "http"
""") if self.asked else ("", "")
        text = f"""
data_dir = {quoted(str(self.folder / 'data'))}
workers = {self.workers}
{asked[0]}
[[listeners]]
address = "127.0.0.1:{self.port}"
protocol = "https"
{asked[1]}
[admin]
address = "127.0.0.1:{self.admin_port}"
[tls]
min_version = "1.3"
certificates = [{{ cert = {quoted(self.material.path('tls.crt'))}, key = {quoted(self.material.path('tls.key'))} }}]
[tokens]
issuer = "https://localhost:{self.port}"
[limits]
connections_per_address = 20000
[log]
access = false
level = "warn"
[[upstreams]]
name = "app"
servers = ["http://127.0.0.1:{self.backend.port}"]
[[routes]]
name = "open"
path = "/open"
access = "public"
upstream = "app"
"""
        for algorithm in ("ES256", "RS256", "EdDSA", "HS256"):
            source = "jwks_file" if algorithm != "HS256" else "secret_file"
            file = f"{algorithm}.jwks.json" if algorithm != "HS256" else "hs256.secret"
            text += f"""
[[routes]]
name = "{algorithm.lower()}"
path = "/{algorithm.lower()}"
roles_any = ["{ROLE}"]
upstream = "app"
[[tokens.trusted_issuers]]
issuer = "{issuer(algorithm)}"
{source} = {quoted(self.material.path(file))}
algorithms = ["{algorithm}"]
audience = ["{AUDIENCE}"]
users = "as_is"
roles_claim = "roles"
roles = "as_is"
"""
        return text + "".join(self.further_routes())

    def further_routes(self):
        for number in range(self.routes):
            host, path = self.place(number)
            hosts = f'hosts = ["{host}"]\n' if self.hosts else ""
            yield f"""
[[routes]]
name = "r{number}"
{hosts}path = "{path}"
access = "public"
upstream = "app"
"""

    def place(self, number):
        """Host and path of a further route; without hosts all are for any."""
        if not self.hosts:
            return "localhost", f"/routes/{number}"
        return f"h{number % self.hosts}.example.test", f"/routes/{number // self.hosts}"

    def version(self):
        return tools.version([self.program, "--version"])
