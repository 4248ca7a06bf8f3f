"""Many signatures in little time: the system's libcrypto, called directly. A process of openssl for each would take
minutes for what is here done in seconds."""

import ctypes
import ctypes.util

from . import tools


class Signer:
    """A private key of a PEM file that signs (EVP_DigestSign(3ssl))."""

    def __init__(self, path, hashed):
        name = ctypes.util.find_library("crypto") or "libcrypto.so.3"
        try:
            self.crypto = ctypes.CDLL(name)
        except OSError as error:
            tools.fail(f"libcrypto is needed to make many tokens: {error}")
        pointer = ctypes.c_void_p
        for function, result, arguments in (
            ("BIO_new_file", pointer, [ctypes.c_char_p, ctypes.c_char_p]),
            ("BIO_free", ctypes.c_int, [pointer]),
            ("PEM_read_bio_PrivateKey", pointer, [pointer, pointer, pointer, pointer]),
            ("EVP_MD_CTX_new", pointer, []),
            ("EVP_MD_CTX_free", None, [pointer]),
            ("EVP_sha256", pointer, []),
            ("EVP_DigestSignInit", ctypes.c_int, [pointer, pointer, pointer, pointer, pointer]),
            ("EVP_DigestSign", ctypes.c_int,
             [pointer, ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t), ctypes.c_char_p, ctypes.c_size_t]),
        ):
            found = getattr(self.crypto, function)
            found.restype, found.argtypes = result, arguments
        bio = self.crypto.BIO_new_file(path.encode(), b"r")
        self.key = self.crypto.PEM_read_bio_PrivateKey(bio, None, None, None) if bio else None
        if not self.key:
            tools.fail(f"{path} is no private key")
        self.crypto.BIO_free(bio)
        # Ed25519 hashes by itself.
        self.hash = self.crypto.EVP_sha256() if hashed else None
        self.room = ctypes.create_string_buffer(512)

    def sign(self, message):
        context = self.crypto.EVP_MD_CTX_new()
        length = ctypes.c_size_t(len(self.room))
        done = self.crypto.EVP_DigestSignInit(context, None, self.hash, None, self.key) == 1 and (
            self.crypto.EVP_DigestSign(context, self.room, ctypes.byref(length), message, len(message)) == 1
        )
        self.crypto.EVP_MD_CTX_free(context)
        if not done:
            tools.fail("libcrypto does not sign")
        return self.room.raw[: length.value]
