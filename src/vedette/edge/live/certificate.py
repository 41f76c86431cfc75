"""The certificate of a page over TLS: checked before anything is served, or made here, signed by itself.

A self-signed one keeps others on the network from reading along; who it belongs to only its fingerprint tells, which is
shown on the terminal to be compared with the browser's.
"""

import hashlib
import os
import re
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vedette.edge.live.errors import CertificateError

DAYS = 825  # the longest that Apple's devices take
NAME = "page-self-signed.pem"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files, which may be the same; the first may hold the whole chain."""

    certificate: str
    key: str


def check_certificate(tls: Certificate) -> ssl.SSLContext:
    """Load it, so that a mistake is said before anything runs; what to serve with.

    Raises:
        CertificateError: a file is missing or no PEM, the key needs a pass phrase or belongs to another certificate.
    """
    for path, what in ((tls.certificate, "certificate"), (tls.key, "key")):
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise CertificateError(f"the page's {what} {path} cannot be read: {error.strerror}") from error
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 and later
        context.load_cert_chain(tls.certificate, tls.key, password=_no_pass_phrase)
    except ssl.SSLError as error:
        why = "do not belong together" if "MISMATCH" in (error.reason or "") else f"cannot be used ({error.reason})"
        raise CertificateError(
            f"the page's certificate {tls.certificate} and its key {tls.key} {why}; give both as PEM files"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_pass_phrase() -> str:
    raise CertificateError(
        "the page's key is protected by a pass phrase; give a key without one, in a file of mode 600"
    )


def make_self_signed(folder: Path, host_name: str) -> Certificate:
    """The certificate of this machine that signs itself, made at the first call and kept in the folder.

    Raises:
        CertificateError: OpenSSL's program is not installed, or the folder cannot be written to.
    """
    path = folder / NAME
    if path.exists():
        return Certificate(str(path), str(path))
    name = host_name if re.fullmatch(r"[A-Za-z0-9.-]{1,63}", host_name) else "vedette"
    temporary = folder / f".{NAME}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            made = subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", str(DAYS), "-subj", f"/CN={name}", "-addext",
                 f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1", "-keyout", "-", "-out", "-"],
                capture_output=True, check=True, timeout=60,
            )  # fmt: skip
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(made.stdout)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise CertificateError(
            "no certificate can be made: the program 'openssl' is not installed; install it, or name a certificate: "
            "--tls CERT,KEY"
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise CertificateError(f"no certificate can be made in {folder}: {error}") from error
    return Certificate(str(path), str(path))


def fingerprint(tls: Certificate) -> str:
    """SHA-256 of the first certificate, as browsers show it."""
    text = Path(tls.certificate).read_text()
    begin, end = text.index("-----BEGIN CERTIFICATE"), text.index("-----END CERTIFICATE-----")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----\n")).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()
