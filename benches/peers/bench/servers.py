"""The proxies and the backend: the same work for each, in each one's own words.

Every proxy listens with TLS 1.3 and forwards plain HTTP/1.1 over kept-alive connections. Below `/open/` it only
forwards, and takes away the client's X-User. Below `/es256/`, `/rs256/`, `/hs256/`, `/eddsa/` it verifies the bearer
token's algorithm, signature, issuer, audience and expiry (else 401), wants the role (else 403), and sets X-User from the
claim in place of the client's. None writes an access log; each has one worker.
"""

import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from . import tools
from .material import AUDIENCE, ROLE, issuer, url64


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A child process on one core, ended by its own id."""

    name = ""
    # Which of the paths it can serve.
    can = ("open",)
    # Whether it speaks HTTP/2 to clients.
    http2 = True
    # Seconds it may take until it listens.
    starting = 20

    def __init__(self, material, core):
        self.material = material
        self.core = core
        self.port = free_port()
        self.folder = material.folder / self.name
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        self.process = None

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def command(self):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def start(self):
        command = [tools.find("taskset"), "-c", str(self.core), *self.command()]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self.environment()
            )
        deadline = time.monotonic() + self.starting
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")
                    tools.fail(f"{self.name} does not start:\n{log}")
                time.sleep(0.05)

    def environment(self):
        keep = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        keep.pop("DATABASE_URL", None)
        keep.pop("PORT", None)
        return keep

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def pids(self):
        """The process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += [int(child) for child in task.read_text().split()]
        return found

    def tls(self):
        context = ssl.create_default_context(cafile=self.material.path("tls.crt"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


class Backend(Server):
    """nginx that answers from memory, 1 KiB and 64 KiB, and tells at `…/seen` what the proxy made of a request."""

    name = "backend"

    def command(self):
        line = "0123456789abcdef" * 64
        configuration = f"""
worker_processes 1;
daemon off;
error_log stderr warn;
pid {self.folder}/pid;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{self.port} backlog=2048;
        set $k1 "{line}";
        set $k8 "$k1$k1$k1$k1$k1$k1$k1$k1";
        location ~ /1k$ {{ return 200 $k1; }}
        location ~ /64k$ {{ return 200 "$k8$k8$k8$k8$k8$k8$k8$k8"; }}
        location ~ /seen$ {{ return 200 "user=$http_x_user;"; }}
    }}
}}
"""
        return [tools.find("nginx"), "-p", str(self.folder), "-e", "stderr", "-c", self.write("nginx.conf", configuration)]

    def version(self):
        return tools.version([tools.find("nginx"), "-v"])


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
    maxconn 4000
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
    """TLS and forwarding only: Debian's nginx verifies no tokens."""

    name = "nginx"

    def __init__(self, material, core, backend):
        super().__init__(material, core)
        self.backend = backend

    def command(self):
        configuration = f"""
worker_processes 1;
daemon off;
error_log stderr warn;
pid {self.folder}/pid;
events {{ worker_connections 2048; }}
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
        location /open/ {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-User "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""
        return [tools.find("nginx"), "-p", str(self.folder), "-e", "stderr", "-c", self.write("nginx.conf", configuration)]

    def version(self):
        return tools.version([tools.find("nginx"), "-v"])


class Doorward(Server):
    name = "doorward"
    can = ("open", "es256", "rs256", "hs256", "eddsa")

    def __init__(self, material, core, backend, program):
        super().__init__(material, core)
        self.backend = backend
        self.program = program
        self.admin_port = free_port()

    def command(self):
        return [self.program, "serve", "--config", self.write("doorward.toml", self.configuration())]

    def configuration(self):
        quoted = json.dumps  # TOML's basic strings are JSON's
        text = f"""
data_dir = {quoted(str(self.folder / 'data'))}
workers = 1
[[listeners]]
address = "127.0.0.1:{self.port}"
protocol = "https"
[admin]
address = "127.0.0.1:{self.admin_port}"
[tls]
min_version = "1.3"
certificates = [{{ cert = {quoted(self.material.path('tls.crt'))}, key = {quoted(self.material.path('tls.key'))} }}]
[tokens]
issuer = "https://localhost:{self.port}"
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
        return text

    def version(self):
        return tools.version([self.program, "--version"])


class Envoy(Server):
    """With its cache of verified tokens, which it has as the only one of the peers."""

    name = "envoy"
    can = ("open", "es256", "rs256", "hs256")

    def __init__(self, material, core, backend):
        super().__init__(material, core)
        self.backend = backend
        self.program = tools.wheel("envoy")

    def command(self):
        path = self.write("envoy.json", json.dumps(self.configuration(), indent=1))
        return [self.program, "-c", path, "--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]

    def configuration(self):
        algorithms = ("ES256", "RS256", "HS256")
        manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        http1 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        routes = [{"match": {"prefix": f"/{path}/"}, "route": {"cluster": "app"}} for path in self.can]
        host = {"name": "all", "domains": ["*"], "routes": routes}
        filters = [
            self.remove_user(),
            self.jwt(algorithms),
            self.roles(),
            {"name": "router", "typed_config": filter_type("router.v3.Router")},
        ]
        listener = {
            "name": "tls",
            "address": address(self.port),
            "filter_chains": [{
                "transport_socket": self.tls_socket(),
                "filters": [{"name": "http", "typed_config": {
                    "@type": manager, "stat_prefix": "tls", "codec_type": "AUTO",
                    "route_config": {"name": "all", "virtual_hosts": [host]}, "http_filters": filters,
                }}],
            }],
        }
        endpoint = {"lb_endpoints": [{"endpoint": {"address": address(self.backend.port)}}]}
        cluster = {
            "name": "app", "type": "STATIC", "connect_timeout": "2s",
            "typed_extension_protocol_options": {
                http1.split("/")[1]: {
                    "@type": http1, "explicit_http_config": {"http_protocol_options": {}},
                }
            },
            "load_assignment": {"cluster_name": "app", "endpoints": [endpoint]},
        }
        return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}

    def tls_socket(self):
        certificate = {
            "certificate_chain": {"filename": self.material.path("tls.crt")},
            "private_key": {"filename": self.material.path("tls.key")},
        }
        return {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
                "tls_certificates": [certificate],
            },
        }}

    def remove_user(self):
        mutation = {"request_mutations": [{"remove": "x-user"}]}
        return {"name": "clean", "typed_config": {
            **filter_type("header_mutation.v3.HeaderMutation"), "mutations": mutation,
        }}

    def jwt(self, algorithms):
        def keys(algorithm):
            if algorithm != "HS256":
                return json.dumps({"keys": [self.material.jwk(algorithm)]})
            secret = url64(self.material.secret.encode())
            return json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "kid": "HS256", "k": secret}]})

        providers = {
            algorithm: {
                "issuer": issuer(algorithm), "audiences": [AUDIENCE], "clock_skew_seconds": 1,
                "local_jwks": {"inline_string": keys(algorithm)}, "payload_in_metadata": "jwt",
                "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}],
                "jwt_cache_config": {"jwt_cache_size": 10000}, "forward": False,
            }
            for algorithm in algorithms
        }
        rules = [
            {"match": {"prefix": f"/{algorithm.lower()}/"}, "requires": {"provider_name": algorithm}}
            for algorithm in algorithms
        ]
        return {"name": "jwt", "typed_config": {
            **filter_type("jwt_authn.v3.JwtAuthentication"), "providers": providers, "rules": rules,
        }}

    def roles(self):
        metadata = {
            "filter": "envoy.filters.http.jwt_authn", "path": [{"key": "jwt"}, {"key": "roles"}],
            "value": {"list_match": {"one_of": {"string_match": {"exact": ROLE}}}},
        }
        open_path = {"url_path": {"path": {"prefix": "/open/"}}}
        policies = {
            "role": {"permissions": [{"any": True}], "principals": [{"metadata": metadata}]},
            "open": {"permissions": [open_path], "principals": [{"any": True}]},
        }
        return {"name": "roles", "typed_config": {
            **filter_type("rbac.v3.RBAC"), "rules": {"action": "ALLOW", "policies": policies},
        }}

    def version(self):
        return tools.version([self.program, "--version"])


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def filter_type(name):
    return {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{name}"}
