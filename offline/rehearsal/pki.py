"""A throw-away certificate authority, server certificate and token key for one control plane."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

VALID = dt.timedelta(days=2)
_PEM = serialization.Encoding.PEM


def write(folder: Path) -> None:
    """Write ca.crt, server.crt, server.key, sa.key and sa.pub; keys are readable by the owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    tokens = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    root = _certificate("rehearsal-ca", authority, authority, ca=True).add_extension(usage, critical=True)
    leaf = _certificate("rehearsal-api", server, authority, ca=False).add_extension(names, critical=False)
    public = tokens.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "ca.crt").write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(_PEM))
    (folder / "server.crt").write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(_PEM))
    (folder / "sa.pub").write_bytes(public)
    for name, key in (("server.key", server), ("sa.key", tokens)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )


def _certificate(
    common_name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.CertificateBuilder:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(name("rehearsal-ca"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID / 48)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
