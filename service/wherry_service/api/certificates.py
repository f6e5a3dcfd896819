"""The certificate that the service makes for itself (`tls.mode: dev`): clients pin it."""

import datetime
import ipaddress
import os
import socket
from pathlib import Path

# Clients that pin a certificate ask for this name, however they reach the service.
PINNED_NAME = "wherry.internal"
VALID_DAYS = 825
RENEW_DAYS = 30


def own_certificate(directory: Path) -> tuple[bytes, bytes]:
    """Return certificate and key, as PEM, from a directory; made anew where they are missing or about to expire."""
    from cryptography import x509  # noqa: PLC0415 - start-up cost: only where it is asked for

    certificate_path, key_path = directory / "certificate.pem", directory / "key.pem"
    now = datetime.datetime.now(datetime.UTC)
    if certificate_path.exists() and key_path.exists():
        pem = certificate_path.read_bytes()
        if x509.load_pem_x509_certificate(pem).not_valid_after_utc > now + datetime.timedelta(days=RENEW_DAYS):
            return pem, key_path.read_bytes()
    certificate, key = _make(now)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, pem in ((key_path, key), (certificate_path, certificate)):
        partial = path.with_suffix(".new")
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
        partial.rename(path)
    return certificate, key


def _make(now: datetime.datetime) -> tuple[bytes, bytes]:
    from cryptography import x509  # noqa: PLC0415 - start-up cost: as above
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - start-up cost: as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - start-up cost: as above

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, PINNED_NAME)])
    names: list[x509.GeneralName] = [x509.DNSName(PINNED_NAME), x509.DNSName("localhost")]
    host = socket.gethostname()
    if host.isascii() and len(host) < 64 and host not in (PINNED_NAME, "localhost"):
        names.append(x509.DNSName(host))
    names += [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.IPAddress(ipaddress.ip_address("::1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private
