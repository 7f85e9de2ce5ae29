"""AES-256-GCM under data keys, data keys under the master key, and keyed digests."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from libs.core.errors import Misconfigured, Poisoned

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
# The first byte says how the rest is made, so that another cipher can follow this one.
VERSION: Final = b"\x01"
MAC_PURPOSE: Final = b"hanzo-studio mac v1"


def new_key() -> bytes:
    """Return a fresh random key."""
    return os.urandom(KEY_BYTES)


def master_key_of(text: str) -> bytes:
    """Return the master key that a setting spells in base64; Misconfigured if it does not."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Misconfigured(
            "STUDIO_MASTER_KEY must be the base64 of 32 random bytes; "
            "`openssl rand -base64 32` makes one"
        )
    return key


def encrypt(key: bytes, clear: bytes, bound_to: tuple[str, ...]) -> bytes:
    """Return the ciphertext of `clear`, which opens only under the same key and binding."""
    nonce = os.urandom(NONCE_BYTES)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, clear, _binding(bound_to))


def decrypt(key: bytes, ciphertext: bytes, bound_to: tuple[str, ...]) -> bytes:
    """Return what was encrypted; Poisoned if key, binding or a single bit differ."""
    nonce = ciphertext[len(VERSION) : len(VERSION) + NONCE_BYTES]
    sealed = ciphertext[len(VERSION) + NONCE_BYTES :]
    if not ciphertext.startswith(VERSION) or len(nonce) != NONCE_BYTES:
        raise Poisoned("a sealed value is cut short, or newer than we are", bound_to=bound_to)
    try:
        return AESGCM(key).decrypt(nonce, sealed, _binding(bound_to))
    except InvalidTag as error:
        raise Poisoned("a sealed value was changed, or is another's", bound_to=bound_to) from error


def mac(key: bytes, data: bytes) -> str:
    """Return a digest of `data` that only the holder of `key` can make."""
    derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=MAC_PURPOSE).derive(key)
    return hmac.new(derived, data, "sha256").hexdigest()


def _binding(parts: tuple[str, ...]) -> bytes:
    # Lengths first, so that no two lists of parts have the same bytes.
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
