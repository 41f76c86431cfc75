"""Whether a media server is who it says it is: its certificate is checked wherever video goes out over TLS.

FFmpeg checks none unless it is told to, and the TLS library that comes with PyAV knows where authorities are listed on
Red Hat's systems alone: both are said here. Why FFmpeg refused a server it does not say; Python's `ssl` is asked.
"""

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

TLS_SCHEME, TLS_PORT = "rtsps", 322
TIMEOUT_S = 5.0
LISTS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, JetPack, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Red Hat
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS
)


def is_tls(url: str) -> bool:
    """Whether an address is reached over TLS."""
    return urlsplit(url).scheme.lower() == TLS_SCHEME


def tls_options(url: str, ca_file: str | None) -> dict[str, str]:
    """FFmpeg's options for an address; none where there is no TLS."""
    if not is_tls(url):
        return {}
    trusted = ca_file or authorities()
    return {"tls_verify": "1", **({} if trusted is None else {"ca_file": trusted})}


def authorities() -> str | None:
    """This machine's list of those who may vouch, as a file; `SSL_CERT_FILE` names another."""
    named = ssl.get_default_verify_paths().cafile
    return next((path for path in (named, *LISTS) if path and Path(path).is_file()), None)


def why_not_trusted(url: str, ca_file: str | None) -> str | None:
    """Why a server's certificate is refused, in words without secrets; None where it is not, or that cannot be told."""
    if not is_tls(url):
        return None
    parts = urlsplit(url)
    try:
        context = ssl.create_default_context(cafile=ca_file or authorities())
        with (
            socket.create_connection((parts.hostname, parts.port or TLS_PORT), TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message}; name who vouches for it as 'ca_file'"
    except OSError:
        return None


def check_ca_file(path: str) -> None:
    """Load it once, so that a mistake is said before anything runs.

    Raises:
        ValueError: says why it cannot be used.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise ValueError(f"{path} holds no certificate in PEM form") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
