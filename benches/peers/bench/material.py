"""Certificate, keys and tokens: made anew for each run, with openssl."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

from . import tools
from .signing import Signer

AUDIENCE = "peers"
ROLE = "user"
SUBJECT = "alice"
ALGORITHMS = ("ES256", "RS256", "EdDSA", "HS256")


def issuer(algorithm):
    return f"https://{algorithm.lower()}.issuer.test"


class Material:
    def __init__(self, folder):
        self.folder = folder
        self.signers = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.secret = base64.b64encode(os.urandom(48)).decode()
        self.write("hs256.secret", self.secret)
        self._certificate()
        self._key("ES256", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        self._key("RS256", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        self._key("EdDSA", "ED25519")
        for algorithm in ("ES256", "RS256", "EdDSA"):
            self.write(f"{algorithm}.jwks.json", json.dumps({"keys": [self.jwk(algorithm)]}))

    def path(self, name):
        return str(self.folder / name)

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return self.path(name)

    def _openssl(self, *arguments, given=None):
        done = subprocess.run([tools.find("openssl"), *arguments], input=given, capture_output=True, check=False)
        if done.returncode:
            tools.fail(f"openssl {arguments[0]}: {done.stderr.decode()}")
        return done.stdout

    def _certificate(self):
        self._openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=localhost".split(),
            *["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            *["-keyout", self.path("tls.key"), "-out", self.path("tls.crt")],
        )
        pair = (self.folder / "tls.crt").read_text() + (self.folder / "tls.key").read_text()
        self.write("tls.pem", pair)

    def _key(self, algorithm, kind, *options):
        self._openssl("genpkey", "-algorithm", kind, *options, "-out", self.path(f"{algorithm}.key"))
        self._openssl("pkey", "-in", self.path(f"{algorithm}.key"), "-pubout", "-out", self.path(f"{algorithm}.pub"))

    def jwk(self, algorithm):
        der = self._openssl("pkey", "-pubin", "-in", self.path(f"{algorithm}.pub"), "-outform", "DER")
        common = {"kid": algorithm, "alg": algorithm, "use": "sig"}
        if algorithm == "ES256":
            return {"kty": "EC", "crv": "P-256", "x": url64(der[-64:-32]), "y": url64(der[-32:]), **common}
        if algorithm == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": url64(der[-32:]), **common}
        text = self._openssl("rsa", "-pubin", "-in", self.path(f"{algorithm}.pub"), "-modulus", "-noout")
        modulus = bytes.fromhex(text.decode().strip().split("=")[1])
        return {"kty": "RSA", "n": url64(modulus), "e": url64((65537).to_bytes(3, "big")), **common}

    def token(self, algorithm, number=0, **claims):
        """A token that is good for this issuer, unless the claims say otherwise. Nine claims, like those in the field."""
        now = int(time.time())
        payload = {
            "iss": issuer(algorithm), "aud": AUDIENCE, "sub": SUBJECT, "iat": now, "exp": now + 24 * 3600,
            "jti": f"{number:032x}", "roles": [ROLE, "staff"], "email": "alice@example.com", "name": "Alice Example",
            **claims,
        }
        header = {"alg": algorithm, "kid": algorithm, "typ": "at+jwt"}
        signed = ".".join(url64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, payload))
        return f"{signed}.{url64(self.signature(algorithm, signed.encode()))}"

    def signature(self, algorithm, message):
        if algorithm == "HS256":
            return hmac.new(self.secret.encode(), message, hashlib.sha256).digest()
        if algorithm not in self.signers:
            self.signers[algorithm] = Signer(self.path(f"{algorithm}.key"), hashed=algorithm != "EdDSA")
        signature = self.signers[algorithm].sign(message)
        return raw_ecdsa(signature) if algorithm == "ES256" else signature

    def tokens(self, algorithm, count):
        """A file with so many different good tokens, one a line; made once."""
        name = f"{algorithm}.{count}.tokens"
        if not (self.folder / name).exists():
            lines = (self.token(algorithm, number) for number in range(count))
            self.write(name, "".join(f"{line}\n" for line in lines))
        return self.path(name)


def damaged(token):
    """The same token with a signature that does not fit: its first character is another one."""
    signed, signature = token.rsplit(".", 1)
    return f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_ecdsa(der):
    """SEQUENCE { INTEGER r, INTEGER s } as the 64 bytes of RFC 7518 section 3.4."""
    def integer(at):
        length = der[at + 1]
        return der[at + 2 : at + 2 + length], at + 2 + length

    r, at = integer(2)
    s, _ = integer(at)
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))
