"""A certificate for a kiosk in a local network, made here: browsers give camera and microphone to https only."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path

from avatar_forcing_ros.errors import InputError

_DAYS = 825  # the longest that Apple's browsers take
_NAME = "avatar_forcing_ros kiosk"


def default_folder() -> Path:
    """Where the certificate is looked for: $XDG_CONFIG_HOME/avatar_forcing_ros or ~/.config/avatar_forcing_ros."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "avatar_forcing_ros"


def local_names() -> list[str]:
    """Names and addresses by which others reach this machine, besides localhost."""
    import ifaddr

    names = {socket.gethostname(), f"{socket.gethostname()}.local"}
    addresses = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [*sorted(names), *(a for a in addresses if not ipaddress.ip_address(a).is_loopback)]


def make_certificate(folder: Path, names: list[str] | None = None) -> tuple[Path, Path]:
    """Writes kiosk.crt and kiosk.key (readable by the owner alone), for localhost and `names` (default: `local_names`).

    Returns both paths. Raises InputError where the folder cannot be written.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    names = ["localhost", "127.0.0.1", *(local_names() if names is None else names)]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "kiosk.crt", folder / "kiosk.key"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key_file.unlink(missing_ok=True)
        with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise InputError(f"{folder}: the certificate cannot be written there: {error.strerror}") from error
    return cert_file, key_file


def _general(name: str):
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
