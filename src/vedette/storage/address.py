"""Addresses of folders and files, the names below them, and where S3 is; pure.

A name below an address is safe on every system: parted by `/`, no way out, no control characters.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from vedette.storage.errors import AddressError

S3_SCHEME = "s3://"
MOST_RETRIES = 6  # 0.1 s, 0.2 s, ... with jitter: about 6 s until an unreachable server is reported
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_MOST_NAME_BYTES = 1024  # a key of S3
_MOST_PART_BYTES = 255  # a file name of Linux


class S3Credential(TypedDict, total=False):
    """What obstore asks a credential provider for; `expires_at` is None for keys that stay."""

    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where S3 is and who asks. Without `credentials`, obstore looks for a web identity, container or instance role."""

    endpoint_url: str | None = None  # None: Amazon's own
    region: str | None = None
    credentials: Callable[[], S3Credential] | None = field(default=None, repr=False)
    max_retries: int = MOST_RETRIES

    def __post_init__(self) -> None:
        if self.endpoint_url is not None:
            _check_endpoint(self.endpoint_url)


@dataclass(frozen=True, slots=True)
class Address:
    """A folder or file: local when `bucket` is empty, else in S3."""

    bucket: str
    path: str

    @property
    def is_s3(self) -> bool:
        return bool(self.bucket)

    def __str__(self) -> str:
        return f"{S3_SCHEME}{self.bucket}/{self.path}".rstrip("/") if self.is_s3 else self.path

    def parted(self) -> tuple[Address, str]:
        """The folder that the last name stands in, and that name."""
        folder, _, name = self.path.rpartition("/")
        return Address(self.bucket, folder or ("" if self.is_s3 else "/")), name


def is_s3_address(text: str | os.PathLike[str]) -> bool:
    """Whether this names something in S3; also after `Path` has taken one of the two slashes away."""
    return re.match(r"s3:/+[^/]", os.fspath(text)) is not None


def parse_address(text: str | os.PathLike[str]) -> Address:
    """The address that `s3://BUCKET/PREFIX`, or the path of a local folder, means.

    Raises:
        AddressError: it is neither.
    """
    given = os.fspath(text)
    if not is_s3_address(given):
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", given)
        if scheme is not None:
            raise AddressError(
                f"{scheme[1]}:// is no address that Vedette reads; give a local folder or s3://BUCKET/PREFIX"
            )
        if not given or "\0" in given:
            raise AddressError("an empty address; give a local folder or s3://BUCKET/PREFIX")
        return Address("", os.path.normpath(Path(given).absolute()))
    bucket, _, path = re.sub(r"^s3:/+", "", given).partition("/")
    if _BUCKET.fullmatch(bucket) is None:
        raise AddressError(f"'{bucket}' can be no bucket's name; the address of an object is s3://BUCKET/PREFIX")
    plain = path.strip("/")
    if plain and not is_safe_name(plain):
        raise AddressError(f"{given}: a part of the prefix is empty, '.', '..', too long, or has control characters")
    return Address(bucket, plain)


def is_safe_name(name: str) -> bool:
    """Whether an object of this name can lie below a folder, on every system: no way out, no sign that is none."""
    parts = name.split("/")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:  # a lone surrogate: a file name that is not UTF-8
        return False
    return (
        len(encoded) <= _MOST_NAME_BYTES
        and "\\" not in name
        and re.match(r"[A-Za-z]:", name) is None
        and not any(unicodedata.category(sign) == "Cc" for sign in name)
        and all(part not in {"", ".", ".."} and len(part.encode()) <= _MOST_PART_BYTES for part in parts)
    )


def _check_endpoint(url: str) -> None:
    """An endpoint of which requests can be made, and that holds no password."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.fullmatch(r"[!-~]+", url) is None:
        raise AddressError("the S3 endpoint is no address; give one such as https://s3.example.org or http://host:9000")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise AddressError("the S3 endpoint must hold no user, password, query or fragment; use AWS_ACCESS_KEY_ID")
