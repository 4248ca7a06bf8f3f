"""Envoy, in its own words."""

import json

from . import tools
from .material import AUDIENCE, ROLE, issuer, url64
from .servers import Server


class Envoy(Server):
    """With its cache of verified tokens, which it has as the only one of the peers."""

    name = "envoy"
    remembers = True
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
