"""A `Store` is one folder of objects, local or in S3; every write is whole or not at all.

Names below it are relative and `is_safe_name`. What the server or the network says is translated here, once, into the
tree of `StorageError`; no key, secret or token stands in a message, a repr or a chained exception. Environment and
credential files are read by the caller, who passes `S3Settings`. The transfers are those of obstore (object_store).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from vedette.contracts.errors import InputError
from vedette.storage.address import Address, S3Settings, parse_address
from vedette.storage.errors import AddressError, ObjectNotFoundError, UnreachableError, WrongContentError
from vedette.storage.explaining import NOT_PARTIAL, explain
from vedette.storage.parallel import interruptibly

READ_TIMEOUT_S = 20  # no byte for so long: the connection is dead
RETRY_TIMEOUT_S = 60  # after the first try; a silent server is given up after about so long
REQUEST_TIMEOUT_S = 600  # one request of at most PART_BYTES takes less on any line worth using
PART_BYTES = 8 << 20  # of a multipart upload; S3 takes 10 000 parts, so files of up to 80 GB


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as a listing gives it."""

    name: str
    size_bytes: int
    etag: str | None
    modified: datetime


def open_store(address: Address | str | Path, settings: S3Settings | None = None) -> Store:
    """The folder at an address; nothing is asked of a server yet. A local folder need not exist.

    Raises:
        AddressError: the address or a setting cannot be used.
    """
    place = address if isinstance(address, Address) else parse_address(address)
    try:
        from obstore.store import LocalStore, S3Store
    except ModuleNotFoundError as error:
        raise UnreachableError(f"{place} needs 'obstore'; install it with: pip install obstore") from error
    if not place.is_s3:
        return Store(place, LocalStore(place.path, mkdir=True) if Path(place.path).is_dir() else None)
    chosen = settings if settings is not None else S3Settings()
    config: dict[str, Any] = {"region": chosen.region or "us-east-1"}
    if chosen.endpoint_url is not None:
        config["endpoint"] = chosen.endpoint_url
    store = S3Store(
        place.bucket,
        prefix=place.path or None,
        config=config,  # type: ignore[arg-type] # a TypedDict of what is set
        client_options={
            "allow_http": (chosen.endpoint_url or "").startswith("http://"),
            "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
            "read_timeout": timedelta(seconds=READ_TIMEOUT_S),
        },
        retry_config={
            "max_retries": chosen.max_retries,
            "retry_timeout": timedelta(seconds=RETRY_TIMEOUT_S),
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=10), "base": 2},
        },
        credential_provider=chosen.credentials,  # type: ignore[arg-type] # a TypedDict of obstore's
    )
    return Store(place, store, chosen.endpoint_url)


class Store:
    """One folder of objects. Its methods block and may be called from several threads."""

    def __init__(self, address: Address, backend: Any, endpoint_url: str | None = None) -> None:
        self.address = address
        self.endpoint_url = endpoint_url
        self._made = backend

    def __repr__(self) -> str:
        return f"Store({str(self.address)!r})"

    def list(self, below: str = "") -> Iterator[StoredObject]:
        """Every object below a folder (default: the whole store), in no stated order; one request for 1000 in S3.

        Raises:
            StorageError: the server does not say.
        """
        import obstore

        if self._made is None:
            return
        with self._translated(below):
            pages = obstore.list(self._made, prefix=below or None, chunk_size=1000)
            while (page := interruptibly(lambda: next(pages, None))) is not None:
                for meta in page:
                    yield StoredObject(meta["path"], meta["size"], meta["e_tag"], meta["last_modified"])

    def stat(self, name: str) -> StoredObject | None:
        """What is known of one object; None when there is none.

        Raises:
            StorageError: the server does not say.
        """
        import obstore

        if self._made is None:
            return None
        try:
            with self._translated(name):
                meta = interruptibly(lambda: obstore.head(self._made, name))
        except ObjectNotFoundError:
            return None
        return StoredObject(meta["path"], meta["size"], meta["e_tag"], meta["last_modified"])

    def read(self, name: str, most_bytes: int) -> bytes:
        """One object whole; it is refused before its bytes come when there are more than `most_bytes`.

        Raises:
            ObjectNotFoundError: there is none of this name.
            WrongContentError: it is larger.
            StorageError: the server does not give it.
        """
        return b"".join(self.blocks(name, most_bytes))

    def blocks(self, name: str, most_bytes: int, offset: int = 0) -> Iterator[bytes]:
        """The bytes of one object from `offset` on, as they come.

        Raises:
            As `read`; also in the middle, when the connection breaks and retries do not help.
        """
        import obstore

        with self._translated(name):
            backend = self._backend()
            options: Any = {"range": {"offset": offset}} if offset else None
            try:
                found, skip = interruptibly(lambda: obstore.get(backend, name, options=options)), 0
            except obstore.exceptions.GenericError as error:
                if NOT_PARTIAL not in str(error):
                    raise  # rclone's server sends a part with status 200: then all of it, and the part of that
                found, skip = interruptibly(lambda: obstore.get(backend, name)), offset
            if found.meta["size"] > most_bytes:
                raise WrongContentError(
                    f"{self._shown(name)} has {found.meta['size']} bytes; at most {most_bytes} are taken"
                )
            stream = iter(found.stream(min_chunk_size=1 << 20))
            while (block := interruptibly(lambda: next(stream, None))) is not None:
                content = bytes(block)
                yield content[skip:]
                skip = max(0, skip - len(content))

    def download(self, name: str, place: Path, most_bytes: int) -> int:
        """One object into a file that appears whole or not at all; returns its size in bytes.

        Raises:
            As `read`, and InputError when the file cannot be written.
        """
        temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
        count = 0
        try:
            try:
                with temporary.open("wb") as file:
                    for block in self.blocks(name, most_bytes):
                        count += file.write(block)
                temporary.replace(place)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{place}: cannot be written: {error.strerror or error}") from error
        return count

    def write(self, name: str, content: bytes) -> None:
        """One object, over whatever has that name; in one request when it is small.

        Raises:
            StorageError: the server does not take it.
        """
        import obstore

        with self._translated(name):
            backend, large = self._backend(make=True), len(content) > PART_BYTES
            interruptibly(lambda: obstore.put(backend, name, content, use_multipart=large, chunk_size=PART_BYTES))

    def upload(self, name: str, blocks: Iterable[bytes]) -> None:
        """One object of any size in parts; an error of `blocks` is raised as it is, and then nothing is stored.

        Raises:
            StorageError: the server does not take it.
        """
        import obstore

        with self._translated(name):
            backend, parts = self._backend(make=True), iter(blocks)
            interruptibly(
                lambda: obstore.put(backend, name, parts, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=4)
            )

    def delete(self, names: Sequence[str]) -> None:
        """Take objects away; those that are not there are passed over.

        Raises:
            StorageError: the server does not do it.
        """
        import obstore

        if self._made is None or not names:
            return
        try:
            with self._translated(names[0]):
                interruptibly(lambda: obstore.delete(self._made, [*names]))
        except ObjectNotFoundError:  # of a local folder, at the first one
            for name in names[1:]:
                self.delete([name])

    def _backend(self, make: bool = False) -> Any:
        """What obstore works on; a local folder is made by the first write, not by a look at it."""
        if self._made is None:
            from obstore.store import LocalStore

            if not make:
                raise ObjectNotFoundError(f"{self.address} does not exist")
            try:
                Path(self.address.path).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AddressError(f"{self.address}: cannot be made as a folder: {error.strerror}") from error
            self._made = LocalStore(self.address.path, mkdir=True)
        return self._made

    def _shown(self, name: str) -> str:
        return f"{self.address}/{name}".rstrip("/")

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """What obstore raises, in our words, without the server's answer: it may quote the session token."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise explain(self._shown(name), str(error), self.address.bucket, self.endpoint_url) from None
