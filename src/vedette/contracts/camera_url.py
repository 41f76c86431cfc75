"""What may be a camera's address, and what of it may be shown. Pure: nothing is opened, no host is looked up."""

import re
from urllib.parse import urlsplit

CAMERA_SCHEMES = ("rtsp", "rtsps", "http", "https")
MASK = "***"
# What cameras call a password in a query: `?user=a&pwd=b`, `?password=`, `?token=`, `?authKey=`
_SECRET_IN_QUERY = re.compile(
    r"([?&;](?:[\w-]*(?:pass|pwd|psw|token|secret|auth|key)[\w-]*)=)[^&;#\s'\"]+", re.IGNORECASE
)

SEEN_IN_ARGUMENTS = (
    "in a URL can be seen by every process of the machine; use a pipeline file with 'username' and 'password_file' or "
    "'password_env'"
)


def hide_query_secrets(text: str) -> str:
    """A URL, or a text with one in it, with those values of its query masked whose names are those of secrets."""
    return _SECRET_IN_QUERY.sub(rf"\1{MASK}", text)


def is_live_url(url: str) -> bool:
    """Whether a camera URL names a network or local device rather than a file."""
    return url.lower().startswith(("usb:", "csi:", *(f"{scheme}://" for scheme in CAMERA_SCHEMES)))


def check_camera_url(url: str) -> None:
    """Refuse what is not a file, rtsp(s), http(s), usb:N or csi:N, and any URL that carries a password.

    Raises:
        ValueError: says what is wrong without repeating a password.
    """
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in url):
        raise ValueError("holds a control character, which no address can")
    if re.search(r"://[^/\s]*@", url) and not is_live_url(url):
        raise ValueError(f"a user name or password {SEEN_IN_ARGUMENTS}")
    if re.match(r"^(usb|csi):", url):
        if not re.match(r"^(usb|csi):\d+$", url):
            raise ValueError(f"{url}: write usb:N or csi:N with the device's number")
        return
    scheme = re.match(r"^([A-Za-z][A-Za-z0-9+.-]+):", url)
    if scheme is None:
        return
    if "://" not in url or scheme.group(1).lower() not in CAMERA_SCHEMES:
        raise ValueError(
            f"'{scheme.group(1)}:' is no camera address; give a file's path, rtsp(s)://, http(s)://, usb:N or csi:N"
        )
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{parts.scheme}:// needs a host")
    check_host(parts.hostname)
    if parts.password is not None or parts.username is not None:
        raise ValueError(f"{parts.scheme}://{parts.hostname}: a user name or password {SEEN_IN_ARGUMENTS}")
    try:
        parts.port  # noqa: B018 - it is read when it is asked for
    except ValueError as error:
        raise ValueError(f"{parts.scheme}://{parts.hostname}: a port is a number up to 65535") from error


def check_host(host: str) -> None:
    """Refuse what no resolver can even be asked for: Python would raise where the connection is made."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(
            f"'{host[:80]}' is no name of a host: each part between its dots has 1 to 63 letters and digits"
        ) from error
