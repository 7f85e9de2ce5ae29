"""A key and certificate with which the parts of one server know each other, and nobody else."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.chassis.embedded.ports import LOOPBACK
from libs.chassis.embedded.secret import write_private

NAME = "studio"
VALID_DAYS = 36_500


def make_certificate(certificate: Path, key: Path) -> None:
    """Make both once; the certificate is its own authority, so no other is ever trusted."""
    if certificate.exists():
        return
    private = ec.generate_private_key(ec.SECP256R1())
    write_private(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
    # Written last: a certificate without its key would never be mended.
    write_private(certificate, _signed(private).public_bytes(serialization.Encoding.PEM).decode())


def _signed(private: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
    # A day of grace for a clock that is set back.
    since = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(here, critical=False)
        .sign(private, hashes.SHA256())
    )
