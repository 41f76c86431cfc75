"""`vedette data push|pull`: versions of a data set to S3, or a folder elsewhere, and back.

Reads arguments and the environment, calls `vedette.learn.data.versions_push` and `versions_pull`, prints.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.learn.data.versions_pull import Comparison

SHOWN = 10


def push(
    source: Annotated[Path, Parameter(help="The data set's folder; every file below it is pushed but hidden ones.")],
    dest: Annotated[str, Parameter(help="s3://BUCKET/PREFIX, or a folder; several data sets may share it.")],
    /,
    *,
    tag: Annotated[str, Parameter(help="The name of this version; it moves on to the next push.")] = "latest",
    json: Annotated[bool, Parameter(negative="", help="Print one JSON document.")] = False,
) -> None:
    """Put a data set into S3 as a version: only content that is not there travels.

    Prints the version's digest: the same files have the same digest anywhere, and pull it again years later. Ctrl-C, a
    broken line or a killed process lose nothing: the same command goes on. Several may push at once.
    """
    from vedette.apps.console import ConsoleProgress, print_json, print_line, warn
    from vedette.apps.object_storage import digest_memory, open_place, part_reference, refuse_s3
    from vedette.learn.data.versions import check_tag
    from vedette.learn.data.versions_push import push_version

    refuse_s3(source, "SOURCE")
    address, named = part_reference(dest)
    if named:
        raise UsageError(f"{dest}: name the version with --tag {named}")
    check_tag(tag)
    store = open_place(address)
    try:
        with ConsoleProgress() as progress:
            pushed = push_version(source, store, tag, progress, digest_memory(source))
    except KeyboardInterrupt:
        warn("stopped; what was sent stays there, and the same command goes on")
        raise
    if json:
        print_json(
            {
                "version": pushed.digest,
                "tag": pushed.tag,
                "address": str(store.address),
                "files": pushed.files,
                "size_bytes": pushed.size_bytes,
                "sent_files": pushed.sent_files,
                "sent_bytes": pushed.sent_bytes,
                "seconds": round(pushed.seconds, 3),
            }
        )
        return
    sent = f"{pushed.sent_files} sent ({_megabytes(pushed.sent_bytes)})" if pushed.sent_files else "nothing to send"
    print_line(f"{store.address}: {pushed.files} files, {_megabytes(pushed.size_bytes)}; {sent}")
    print_line(f"version {pushed.digest}, tagged {pushed.tag}")
    print_line(f"get it with: vedette data pull {store.address}#{pushed.tag} FOLDER")


def pull(
    source: Annotated[str, Parameter(help="s3://BUCKET/PREFIX[#TAG-OR-DIGEST], or a folder; #latest when left out.")],
    folder: Annotated[Path, Parameter(help="Where to put the files; what is right there already is left alone.")],
    /,
    *,
    check: Annotated[
        bool, Parameter(negative="", help="Change nothing: read every file and tell what differs.")
    ] = False,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Replace files that have other content than the version.")
    ] = False,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON document.")] = False,
) -> int:
    """Bring a version of a data set from S3 into a folder, every file verified by its digest.

    Only what is missing travels, and a broken pull goes on where it stopped, within a large file too. Files that the
    version does not have are listed and left alone. With --check, the exit code is 1 unless the folder is the version.
    """
    from vedette.apps.console import ConsoleProgress, print_json, print_line, warn
    from vedette.apps.object_storage import digest_memory, open_place, part_reference, refuse_s3
    from vedette.learn.data.versions import DEFAULT_TAG, find_version, read_version
    from vedette.learn.data.versions_pull import compare_folder, pull_version

    refuse_s3(folder, "FOLDER")
    if check and overwrite:
        raise UsageError("--check changes nothing: leave out --overwrite")
    address, tag = part_reference(source)
    store = open_place(address)
    digest = find_version(store, tag or DEFAULT_TAG)
    version = read_version(store, digest)
    document: dict[str, Any] = {"version": digest, "address": str(store.address), "files": len(version.files)}
    try:
        with ConsoleProgress() as progress:
            if check:
                found = compare_folder(version, folder, progress)
            else:
                pulled = pull_version(
                    store, version, folder, progress, memory=digest_memory(folder), overwrite=overwrite
                )
                found = pulled.before
                document |= {"received_files": pulled.received_files, "received_bytes": pulled.received_bytes}
    except KeyboardInterrupt:
        warn("stopped; what has come stays, and the same command goes on")
        raise
    if json:
        print_json(document | _as_document(found, check))
    else:
        if check:
            print_line(f"{folder}: {len(found.right)} of {len(version.files)} files are right")
        else:
            print_line(
                f"{folder}: {len(version.files)} files; {len(found.missing) + len(found.changed)} brought "
                f"({_megabytes(document['received_bytes'])})"
            )
        _print_paths(found, check)
        print_line(f"version {digest}")
    return 1 if check and not found.is_whole else 0


def _as_document(found: Comparison, check: bool) -> dict[str, object]:
    names = {"missing": found.missing, "changed": found.changed} if check else {"replaced": found.changed}
    return {name: list(paths) for name, paths in {**names, "extra": found.extra}.items()}


def _print_paths(found: Comparison, check: bool) -> None:
    from vedette.apps.console import print_line

    listed = [("not part of the version, left alone", found.extra)]
    if check:
        listed = [("missing", found.missing), ("other content", found.changed), *listed]
    for what, paths in listed:
        if paths:
            more = f", and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            print_line(f"{what}: {len(paths)}: {', '.join(paths[:SHOWN])}{more}")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
