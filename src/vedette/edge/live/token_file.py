"""The tokens that open the live page beyond this machine, as argon2id hashes in a file that only its owner can read.

Two kinds: `page` opens everything, `metrics` only /metrics (for Prometheus). A token is 192 random bits; it is returned
once, when it is made, and never written. The file is read again for every check, so a new token is at once the only
one. Writes are atomic and reach the disk.
"""

import contextlib
import json
import os
import secrets
import stat
from enum import Enum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vedette.edge.live.errors import TokenFileError

VERSION = 1
MOST_BYTES = 4096
_HASHER = PasswordHasher()  # argon2id, RFC 9106's second recommendation: 64 MiB, 3 passes


class Scope(str, Enum):
    """What a token opens."""

    PAGE = "page"
    METRICS = "metrics"


class TokenFile:
    """The hashes in one file. Checking takes about 0.1 s of a core on purpose: do it off the event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, scope: Scope) -> bool:
        """Whether a token of this kind was made.

        Raises:
            TokenFileError: the file cannot be read, or holds something else.
        """
        return scope in self._read()

    def make(self, scope: Scope) -> str:
        """A new token in place of the one before, which opens nothing any more.

        Raises:
            TokenFileError: the file cannot be written, or holds something else.
        """
        token = secrets.token_urlsafe(24)
        hashes = self._read() | {scope: _HASHER.hash(token)}
        document = {"version": VERSION, **{one.value: text for one, text in hashes.items()}}
        self._write(json.dumps(document, indent=1).encode() + b"\n")
        return token

    def check(self, token: str) -> Scope | None:
        """What this token opens, if anything; takes as long for a wrong one.

        Raises:
            TokenFileError: the file cannot be read, or holds something else.
        """
        for scope, text in self._read().items():
            with contextlib.suppress(VerificationError, InvalidHashError):
                if _HASHER.verify(text, token):
                    return scope
        return None

    def state(self) -> tuple[int, int]:
        """Something that changes whenever a token is made; (0, 0) while there is no file."""
        try:
            found = self.path.stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> dict[Scope, str]:
        try:
            with self.path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise TokenFileError(
                        f"the file of tokens {self.path} can be read by others; `chmod 600 {self.path}`, or delete it "
                        "and a new token is made"
                    )
                content = file.read(MOST_BYTES + 1)
            document = json.loads(content)
            if document["version"] != VERSION or not all(isinstance(text, str) for text in list(document.values())[1:]):
                raise ValueError("another version")
            return {scope: document[scope.value] for scope in Scope if scope.value in document}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise TokenFileError(f"the file of tokens {self.path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise TokenFileError(
                f"{self.path} is no file of tokens of this version; name another (`show: {{token_file: FILE}}`), or "
                "delete it and a new token is made"
            ) from error

    def _write(self, content: bytes) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(temporary, "wb", opener=_open_for_owner) as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise TokenFileError(
                f"the page's token cannot be kept in {self.path}: {error.strerror}; name another file with "
                "`show: {token_file: FILE}`"
            ) from error


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
