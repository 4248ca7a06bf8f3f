"""What the libraries themselves make of it: one JSON list a line in, one JSON value a line out.

["hash", SCHEME, PASSWORD, SETTINGS]   a hash by passlib
["verify", PASSWORD, HASH]             whether the server's context takes it: true, false, or the name of the error
["encode", CLAIMS, SECRET, ALGORITHM]  a token by PyJWT
["decode", TOKEN, SECRET]              its claims, or the name of the error
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")

import jwt
import passlib.hash
from flask_praetorian.constants import DEFAULT_HASH_ALLOWED_SCHEMES
from passlib.context import CryptContext

context = CryptContext(schemes=DEFAULT_HASH_ALLOWED_SCHEMES)


def answer(what, *given):
    if what == "hash":
        scheme, password, settings = given
        return getattr(passlib.hash, scheme).using(**settings).hash(password)
    if what == "verify":
        return context.verify(*given)
    if what == "encode":
        claims, secret, algorithm = given
        return jwt.encode(claims, secret, algorithm)
    if what == "decode":
        token, secret = given
        return jwt.decode(token, secret, algorithms=["HS256"], options={"verify_exp": False})
    raise SystemExit(f"no such thing: {what}")


for line in sys.stdin:
    try:
        print(json.dumps(answer(*json.loads(line))), flush=True)
    except Exception as error:
        print(json.dumps(type(error).__name__), flush=True)
