"""An authority that the tests trust, and certificates that are good or are not."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificates", "make_certificates"]

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """``authority`` is the file to trust; the others are contexts of servers on 127.0.0.1."""

    authority: Path
    good: ssl.SSLContext
    self_signed: ssl.SSLContext
    wrong_host: ssl.SSLContext
    expired: ssl.SSLContext


def make_certificates(folder: Path) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("the tests' authority")
    authority = _build(name, key, name, key, None)
    path = folder / "authority.pem"
    path.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))

    def server(label: str, alternative: x509.GeneralName, *, own: bool = False, age: int = 1):
        of = ec.generate_private_key(ec.SECP256R1())
        subject = _name(label)
        issuer, signer = (subject, of) if own else (name, key)
        certificate = _build(subject, of, issuer, signer, alternative, age)
        file = folder / f"{label}.pem"
        file.write_bytes(
            of.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    return Certificates(
        authority=path,
        good=server("good", here),
        self_signed=server("self-signed", here, own=True),
        wrong_host=server("wrong-host", x509.DNSName("elsewhere.example")),
        expired=server("expired", here, age=400),
    )


def _name(label: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])


def _build(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    alternative: x509.GeneralName | None,
    age: int = 1,
) -> x509.Certificate:
    start = datetime.datetime.now(datetime.UTC) - age * _DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + 100 * _DAY)
        .add_extension(x509.BasicConstraints(ca=alternative is None, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
        )
    )
    if alternative is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), False)
    else:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, True)
    return builder.sign(signer, hashes.SHA256())
