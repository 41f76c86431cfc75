"""One file by HTTPS: resumed where it stopped, checked before it gets its name, one download of it at a time.

While it comes, the bytes lie in `.NAME.part` and what they are a part of (address, ETag, length) in `.NAME.part.json`
beside the place; both stay when the connection or the person ends it, and the next call asks for the rest (`Range`
with `If-Range`, RFC 9110 section 13.1.5: a server whose file has changed sends all of the new one). Only what
`accept` has taken is renamed to its place. Plain http is spoken with loopback addresses only.
"""

import fcntl
import http.client
import ipaddress
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from vedette.contracts.errors import InputError, ResultError, UnavailableError, UsageError
from vedette.contracts.ports import Progress
from vedette.version import __version__

STALL_S = 30.0  # no byte for so long: the connection is dead
MOST_BYTES = 2 << 30  # for files whose size nobody has stated; Darknet's largest published weights have 0.5 GB
_BLOCK_BYTES = 1 << 16
_KB = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to download: what it is called in messages, where from, where to, and its length if that is known."""

    name: str
    urls: Sequence[str]
    place: Path
    size_bytes: int | None = None
    most_bytes: int = MOST_BYTES
    stall_s: float = STALL_S


def download(wanted: Wanted, accept: Callable[[Path], object], progress: Progress) -> str:
    """Bring the file to its place, trying the addresses in turn; returns the one that gave it. Blocks.

    Args:
        accept: looks at the whole file before it gets its name; an InputError of it means that this is not the file.

    Raises:
        UnavailableError: no address gives the file now; what has come stays, to go on from there.
        ResultError: something else came; it is deleted.
        InputError: the place cannot be written.
    """
    for url in wanted.urls:
        require_safe(url)
    try:
        wanted.place.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(wanted):
            return _from_any(wanted, accept, progress)
    except OSError as error:
        raise InputError(f"{wanted.place}: cannot be written: {error.strerror or error}") from error


def require_safe(url: str) -> None:
    """Refuse an address that is neither https nor http on loopback, or holds a password.

    Raises:
        UsageError: it is refused.
    """
    if url.startswith(("https://", "http://")) and not _is_address(url):
        raise UsageError("this is no address to download from; give one such as https://example.org/weights/")
    if not _is_safe(url):
        raise UsageError("an address to download from must begin with https:// (or be http:// on this computer)")
    if "@" in urlsplit(url).netloc:
        raise UsageError("an address to download from must not hold a user or password")


def _from_any(wanted: Wanted, accept: Callable[[Path], object], progress: Progress) -> str:
    for number, url in enumerate(wanted.urls):
        attempt = _Attempt(wanted, url, _Part.beside(wanted.place), progress)
        try:
            attempt.bring()
            attempt.take(accept)
            return url
        except _BrokenOffError:
            raise  # the next address would begin anew; this one can be gone on with
        except (UnavailableError, ResultError) as error:
            if number == len(wanted.urls) - 1:
                raise
            progress.say(f"{error}; trying {_host(wanted.urls[number + 1])}")
    raise AssertionError("a file to download has an address")


class _BrokenOffError(UnavailableError):
    """The body of the file ended before its end."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What has come so far, and what it is a part of."""

    bytes_file: Path
    origin_file: Path

    @classmethod
    def beside(cls, place: Path) -> "_Part":
        return cls(place.with_name(f".{place.name}.part"), place.with_name(f".{place.name}.part.json"))

    def resumable(self, url: str) -> tuple[int, str]:
        """How many bytes of this address's file are there, and by what its server knows it; (0, "") to start anew."""
        try:
            origin = json.loads(self.origin_file.read_text("utf-8"))
            count = self.bytes_file.stat().st_size
        except (FileNotFoundError, ValueError):
            return 0, ""
        validator = origin.get("validator") if isinstance(origin, dict) and origin.get("url") == url else None
        return (count, validator) if count and isinstance(validator, str) and validator else (0, "")

    def begin(self, url: str, validator: str) -> None:
        """Forget what was there; the next bytes are the first of this file."""
        self.remove()
        self.origin_file.write_text(json.dumps({"url": url, "validator": validator}), "utf-8")

    def remove(self) -> None:
        self.bytes_file.unlink(missing_ok=True)
        self.origin_file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server says it will send."""

    offset: int
    total_bytes: int | None
    validator: str  # a strong ETag, else Last-Modified, else ""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try to get the file from one address."""

    wanted: Wanted
    url: str
    part: _Part
    progress: Progress

    def bring(self) -> None:
        """Fill the part file up to its end."""
        offset, validator = self.part.resumable(self.url)
        headers = {"User-Agent": f"vedette/{__version__}", "Accept-Encoding": "identity"}  # pjreddie.com wants a name
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        request = urllib.request.Request(self.url, headers=headers)
        try:
            with _opener(self.url).open(request, timeout=self.wanted.stall_s) as response:
                answer = self._read_answer(response, offset, validator)
                if not answer.offset:
                    if offset:
                        self._say("has another file by now, or cannot resume; from the start")
                    self.part.begin(self.url, answer.validator)
                self._write_body(response, answer)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                self._is_complete(offset, error)
                return
            raise self._failed(f"answers {error.code} {error.reason} for {self.url}") from error
        except urllib.error.URLError as error:
            raise UnavailableError(
                f"{self.wanted.name}: cannot reach {_host(self.url)} ({_reason(error.reason)})"
            ) from error
        except (TimeoutError, http.client.HTTPException, ConnectionError) as error:  # while the headers came
            raise self._failed(f"does not answer ({_reason(error)})") from error
        except ValueError as error:  # of urllib, for an address that cannot be, of a redirection for one
            raise self._failed(f"has or sends an address that cannot be asked ({error})") from error
        except KeyboardInterrupt:
            self.progress.say(f"{self.wanted.name}: {self._what_stays()}")
            raise

    def take(self, accept: Callable[[Path], object]) -> None:
        """Look at the whole file, and give it its name."""
        try:
            accept(self.part.bytes_file)
        except InputError as error:
            self.part.remove()
            told = str(error).replace(str(self.part.bytes_file), self.wanted.name)
            raise ResultError(f"{told} (from {self.url}; what came is deleted)") from error
        self.part.bytes_file.replace(self.wanted.place)
        self.part.remove()

    def _read_answer(self, response: Any, offset: int, validator: str) -> _Answer:
        """Check the headers before a byte of the body is read."""
        headers: Message = response.headers
        if headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
            raise self._failed(f"sends a web page in place of the file ({self.url})")
        if headers.get("Content-Encoding", "identity") != "identity":
            raise self._failed("sends the file compressed, which was not asked for")
        length = headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        etag = headers.get("ETag", "")
        found_validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        start = 0
        if response.status == http.client.PARTIAL_CONTENT:
            found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", headers.get("Content-Range", ""))
            if found is None or not offset or int(found.group(1)) != offset:
                raise self._failed("sends another part of the file than it was asked for")
            if found_validator not in {"", validator}:
                self.part.remove()
                raise self._failed("has another file by now; what had come is deleted, the same command starts anew")
            start, total = offset, int(found.group(2))
        elif response.status != http.client.OK:
            raise self._failed(f"answers {response.status}, which is no file")
        self._check_size(total)
        return _Answer(start, total, found_validator)

    def _check_size(self, total: int | None) -> None:
        exact, most = self.wanted.size_bytes, self.wanted.most_bytes
        if total is not None and exact is not None and total != exact:
            self.part.remove()
            raise ResultError(
                f"{self.wanted.name}: {_host(self.url)} has {total} bytes, the published file has {exact}; refused"
            )
        if total is not None and total > most:
            raise ResultError(f"{self.wanted.name}: {_host(self.url)} has {total} bytes, at most {most} are taken")

    def _write_body(self, response: Any, answer: _Answer) -> None:
        known = answer.total_bytes if answer.total_bytes is not None else self.wanted.size_bytes
        most = self.wanted.most_bytes if known is None else known
        if answer.offset:
            self.progress.say(f"{self.wanted.name}: goes on at {answer.offset / 1e6:.1f} MB")
        self.progress.start(self.wanted.name, max(0, _kb(known or 0) - _kb(answer.offset)), "kB")
        count = answer.offset
        with self.part.bytes_file.open("ab") as file:
            for block in self._blocks(response):
                if count == 0 and block.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                    raise self._failed(f"sends a web page in place of the file ({self.url})")
                if count + len(block) > most:
                    self.part.remove()
                    raise ResultError(
                        f"{self.wanted.name}: {_host(self.url)} sends more than {most} bytes; what came is deleted"
                    )
                file.write(block)
                file.flush()  # what is counted is there, also when this program is ended now
                self.progress.advance(_kb(count + len(block)) - _kb(count))
                count += len(block)
            os.fsync(file.fileno())
        if known is not None and count < known:
            raise self._broken_off(f"ended after {count} of {known} bytes")

    def _blocks(self, response: Any) -> Iterator[bytes]:
        """What comes, as it comes; errors of the connection (not of the disk) are translated here."""
        while True:
            try:
                block: bytes = response.read1(_BLOCK_BYTES)
            except TimeoutError as error:
                raise self._broken_off(f"sent nothing for {self.wanted.stall_s:g} s") from error
            except (http.client.HTTPException, OSError) as error:
                raise self._broken_off(f"broke the connection ({_reason(error)})") from error
            if not block:
                return
            yield block

    def _is_complete(self, offset: int, error: urllib.error.HTTPError) -> None:
        """A server has nothing after the last byte of its file: good when that is the last one here too."""
        if error.headers.get("Content-Range", "") == f"bytes */{offset}":
            return
        self.part.remove()
        raise self._failed("has a shorter file than what had come, which is deleted; the same command starts anew")

    def _what_stays(self) -> str:
        offset, _ = self.part.resumable(self.url)
        if not offset:
            return "the same command starts anew"
        return f"the {offset} bytes that have come stay, and the same command goes on from there"

    def _say(self, what: str) -> None:
        self.progress.say(f"{self.wanted.name}: {_host(self.url)} {what}")

    def _broken_off(self, what: str) -> _BrokenOffError:
        return _BrokenOffError(f"{self.wanted.name}: {_host(self.url)} {what}; {self._what_stays()}")

    def _failed(self, what: str) -> UnavailableError:
        return UnavailableError(f"{self.wanted.name}: {_host(self.url)} {what}")


@contextmanager
def _only_one(wanted: Wanted) -> Iterator[None]:
    """Hold the lock of this file while it is downloaded; a lock ends with its process, however that ends."""
    path = wanted.place.with_name(f".{wanted.place.name}.lock")
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise UnavailableError(
                f"{wanted.name}: another program downloads it to {wanted.place.parent} now; wait for it"
            ) from error
        if _is_open_file(path, file):
            break
        file.close()  # the one before has just removed it
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _is_open_file(path: Path, file: IO[bytes]) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows to https only, or on loopback."""

    def redirect_request(  # noqa: PLR0917 - the signature of urllib
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not _is_safe(newurl) or (_is_loopback(newurl) and not _is_loopback(req.full_url)):
            fp.close()
            raise UnavailableError(
                f"{_host(req.full_url)} sends on to {newurl:.200}, which is no https address: refused"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    if _is_loopback(url):
        return urllib.request.build_opener(_SafeRedirects, urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(_SafeRedirects)


def _is_address(url: str) -> bool:
    """Whether a request can be made of it: printable ASCII with a host and, if any, a port that is a number."""
    try:
        parts = urlsplit(url)
        return bool(re.fullmatch(r"[!-~]+", url) and parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_safe(url: str) -> bool:
    return urlsplit(url).scheme == "https" or (urlsplit(url).scheme == "http" and _is_loopback(url))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _kb(count: int) -> int:
    return -(-count // _KB)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _reason(reason: Any) -> str:
    return str(getattr(reason, "strerror", None) or reason)
