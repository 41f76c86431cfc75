"""A gzipped tar as it comes, member by member; nothing is held but one block, whatever the archive claims.

Only regular files and folders come out; anything else (links, devices, sparse files) is an error. Python's tarfile
reads extension headers of any claimed size into memory and follows links; its extraction filter has had holes.
Sources: RFC 1952; POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vedette.learn.sagemaker.errors import ArtefactError

BLOCK = 512  # bytes; all of tar is made of these
PIECE = 1 << 16  # bytes decompressed at a time
MOST_EXTENSION = 1 << 16  # bytes of a long name or of pax records; a name has at most 1024
FREE_RATIO_BYTES = 64 << 20  # less than this may be compressed as well as it can
MOST_RATIO = 100  # text of a run shrinks to a tenth, weights hardly; zeros to a thousandth


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold."""

    bytes: int = 8 << 30  # a run of the largest family with three variants and all checkpoints is about 2 GB
    members: int = 10_000


@dataclass(frozen=True, slots=True)
class Member:
    """One file or folder; the name is as written."""

    name: str
    size_bytes: int
    is_folder: bool


class Gunzip:
    """Bytes out of gzip's members, one after the other, bounded in sum and in ratio."""

    def __init__(self, blocks: Iterable[bytes], most_bytes: int) -> None:
        self._blocks = iter(blocks)
        self._most = most_bytes
        self._taken = self._given = 0
        self._input = b""
        self._inflate = zlib.decompressobj(31)  # 31: gzip with its checksum
        self._ready = bytearray()

    def read(self, count: int) -> bytes:
        """Exactly so many bytes, which must be few.

        Raises:
            ArtefactError: the archive ends before them, or is damaged.
        """
        while len(self._ready) < count:
            piece = self._piece()
            if not piece:
                raise ArtefactError("the archive ends in the middle: it is truncated")
            self._ready += piece
        found = bytes(self._ready[:count])
        del self._ready[:count]
        return found

    def rest(self) -> Iterator[bytes]:
        """All that is left, to its end and checksum."""
        while self._ready or (piece := self._piece()):
            yield bytes(self._ready) if self._ready else piece
            self._ready.clear()

    def _piece(self) -> bytes:
        while True:
            if self._inflate.eof and not self._next_member():
                return b""
            if not self._input:
                self._input = next((block for block in self._blocks if block), b"")
                self._taken += len(self._input)
                if not self._input:
                    raise ArtefactError("the archive ends in the middle: it is truncated")
            try:
                piece = self._inflate.decompress(self._input, PIECE)
            except zlib.error as error:
                raise ArtefactError(f"the archive is damaged, or no gzip ({error})") from error
            self._input = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._given += len(piece)
            if self._given > self._most:
                raise ArtefactError(f"the archive holds more than {self._most} bytes")
            if self._given > max(FREE_RATIO_BYTES, MOST_RATIO * self._taken):
                raise ArtefactError(f"the archive is compressed more than {MOST_RATIO} times: it would fill the disk")
            if piece:
                return piece

    def _next_member(self) -> bool:
        """Begin what follows a member; zeros may fill the end."""
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            block = next(self._blocks, None)
            if block is None:
                return False
            self._taken += len(block)
            self._input = block.lstrip(b"\0")
        self._inflate = zlib.decompressobj(31)
        return True


class TarMembers:
    """Iterate for the members; `content` reads the present one, and what is left of it is passed over."""

    def __init__(self, blocks: Iterable[bytes], limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._gunzip = Gunzip(blocks, self._limits.bytes)
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """The members, in order.

        Raises:
            ArtefactError: the archive is damaged, too large, or holds something else.
        """
        count, extended = 0, dict[str, str]()
        while True:
            header = self._gunzip.read(BLOCK)
            if not any(header):
                self._check_end()
                return
            count += 1
            if count > self._limits.members:
                raise ArtefactError(f"the archive holds more than {self._limits.members} members")
            size = _check_header(header)
            kind = header[156:157]
            if kind in {b"x", b"L"}:
                extended |= self._extension(kind, size)
                continue
            name = extended.get("path") or _name(header)
            size = _whole(extended["size"]) if "size" in extended else size
            extended = {}
            if kind not in {b"0", b"\0", b"7", b"5"}:
                raise ArtefactError(f"{name!r:.200} is no regular file (a link, a device or the like)")
            if size > self._limits.bytes:
                raise ArtefactError(f"{name!r:.200} claims {size} bytes; at most {self._limits.bytes} are taken")
            folder = kind == b"5" or (kind != b"7" and name.endswith("/"))
            self._left = 0 if folder else size
            self._padding = -self._left % BLOCK
            yield Member(name, self._left, folder)
            for _ in self.content():
                pass
            self._gunzip.read(self._padding)

    def content(self) -> Iterator[bytes]:
        """What has not been read yet of the present member."""
        while self._left:
            piece = self._gunzip.read(min(self._left, PIECE))
            self._left -= len(piece)
            yield piece

    def _extension(self, kind: bytes, size: int) -> dict[str, str]:
        if size > MOST_EXTENSION:
            raise ArtefactError(f"a header claims {size} bytes; at most {MOST_EXTENSION} are taken")
        content = self._gunzip.read(size + -size % BLOCK)[:size]
        return {"path": _text(content.rstrip(b"\0"))} if kind == b"L" else _pax_records(content)

    def _check_end(self) -> None:
        if any(any(piece) for piece in self._gunzip.rest()):
            raise ArtefactError("something follows the end of the archive")


def _check_header(header: bytes) -> int:
    """The size that a header claims, once its checksum is right."""
    told = _number(header[148:156])
    if told != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise ArtefactError("the archive is damaged, or no tar: a header has a wrong checksum")
    return _number(header[124:136])


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256 for 8 GB and more."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if re.fullmatch(rb"[0-7]*", digits) is None:
        raise ArtefactError("the archive is damaged, or no tar: a header has no number where one belongs")
    return int(digits or b"0", 8)


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise ArtefactError(f"the name {name[:80]!r} is no UTF-8") from error


def _pax_records(content: bytes) -> dict[str, str]:
    """`path` and `size` of records "LENGTH KEY=VALUE\\n"; owners and times do not matter here."""
    found: dict[str, str] = {}
    while content:
        head = re.match(rb"([0-9]{1,6}) ", content)
        record = content[: int(head[1])] if head else b""
        if head is None or len(record) <= head.end() or not record.endswith(b"\n"):
            raise ArtefactError("the archive is damaged: an extended header has no records")
        key, sign, value = record[head.end() : -1].partition(b"=")
        if not sign or key.startswith(b"GNU.sparse"):
            raise ArtefactError("the archive holds a sparse file, or a damaged header")
        if key in {b"path", b"size"}:
            found[key.decode()] = _text(value)
        content = content[len(record) :]
    return found


def _whole(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text) is None:
        raise ArtefactError("the archive is damaged: an extended header has no size")
    return int(text)
