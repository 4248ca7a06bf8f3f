"""Proxies that come without JWT verification: they take part where nothing is verified."""

import http.client

from . import tools
from .servers import Server


class Plain(Server):
    """Go programs: one core by GOMAXPROCS."""

    def __init__(self, material, core, backend):
        super().__init__(material, core)
        self.backend = backend
        self.program = tools.wheel(self.name)

    def environment(self):
        # They keep state in the home folder unless told where.
        home = str(self.folder)
        places = {name: home for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
        return {**super().environment(), "GOMAXPROCS": "1", **places}

    def settled(self):
        """They listen before their routes are there."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.tls(), timeout=5)
        try:
            connection.request("GET", "/open/1k")
            return connection.getresponse().status == 200
        finally:
            connection.close()


class Caddy(Plain):
    name = "caddy"

    def command(self):
        configuration = f"""
{{
    admin off
    auto_https off
    persist_config off
    log default {{
        level ERROR
    }}
    servers {{
        protocols h1 h2
    }}
}}
https://localhost:{self.port} {{
    bind 127.0.0.1
    tls {self.material.path('tls.crt')} {self.material.path('tls.key')} {{
        protocols tls1.3
    }}
    handle /open/* {{
        reverse_proxy 127.0.0.1:{self.backend.port} {{
            header_up -X-User
        }}
    }}
    respond 404
}}
"""
        return [self.program, "run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", configuration)]

    def version(self):
        return "caddy " + tools.version([self.program, "version"])


class Traefik(Plain):
    name = "traefik"

    def command(self):
        routes = self.write("routes.toml", f"""
[http.routers.open]
entryPoints = ["tls"]
rule = "PathPrefix(`/open/`)"
service = "app"
middlewares = ["clean"]
[http.routers.open.tls]
[http.middlewares.clean.headers.customRequestHeaders]
X-User = ""
[[http.services.app.loadBalancer.servers]]
url = "http://127.0.0.1:{self.backend.port}"
[[tls.certificates]]
certFile = "{self.material.path('tls.crt')}"
keyFile = "{self.material.path('tls.key')}"
[tls.options.default]
minVersion = "VersionTLS13"
""")
        return [
            self.program, f"--entryPoints.tls.address=127.0.0.1:{self.port}", f"--providers.file.filename={routes}",
            "--log.level=ERROR", "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false",
        ]

    def version(self):
        return "traefik " + tools.version([self.program, "version"])
