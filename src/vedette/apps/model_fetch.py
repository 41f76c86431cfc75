"""`vedette model fetch`: bring well-known public weights, their cfg and their class names, and prove what came.

Reads arguments, the environment (XDG_CACHE_HOME) and files; what is published where, and how it is known, stands in
`vedette.learn.darknet.public_weights`, downloading in `vedette.apps.downloading`.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from vedette.contracts.errors import InputError, UnavailableError, UsageError

if TYPE_CHECKING:
    from vedette.contracts.ports import Progress
    from vedette.learn.darknet.public_weights import PublicFile, PublicNetwork


def fetch(
    name: Annotated[str | None, Parameter(help="Which weights; without it, and with --list, they are listed.")] = None,
    *,
    list_: Annotated[bool, Parameter(name="--list", help="List what can be fetched.", negative="")] = False,
    out: Annotated[Path | None, Parameter(help="The folder to put the files in; a cache when left out.")] = None,
    url: Annotated[str | None, Parameter(help="A mirror: an https folder with files of the same names.")] = None,
    from_: Annotated[
        Path | None, Parameter(name="--from", help="Weights brought by hand: verify and take them; no network.")
    ] = None,
    json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False,
) -> None:
    """Download well-known Darknet weights, with the cfg and the class names that they belong to.

    Nothing is downloaded but what is asked for. A download that was broken off goes on where it stopped. Every file is
    held against its published SHA-256 or SHA-512 where there is one, else its size; the weights against their cfg too:
    number of parameters, finite values. Files go to $XDG_CACHE_HOME/vedette/weights/NAME (~/.cache/... without it).

    Offline: bring the files to that folder by hand and run the command again: it verifies what is there. Or give the
    weights file as --from FILE; a cfg and names that lie beside it are taken too.
    """
    from vedette.apps.console import ConsoleProgress, print_json
    from vedette.learn.darknet.public_weights import find_network

    if name is None or list_:
        if list_ and (name or out or url or from_):
            raise UsageError("--list stands alone; to fetch, give a NAME without it")
        if out or url or from_:
            raise UsageError("give the NAME of what to fetch before --out, --url or --from; --list shows the names")
        _list(json)
        return
    if url is not None and from_ is not None:
        raise UsageError("--url and --from exclude each other: a mirror, or a file that is here already")
    network = find_network(name) if url is None else _mirrored(find_network(name), url)
    folder = cache_folder() / network.name if out is None else out
    with ConsoleProgress() as progress:
        if from_ is None:
            document = fetch_network(network, folder, progress)
        else:
            document = take_network(network, folder, from_, progress)
    if json:
        print_json(document)
    else:
        _print_fetched(document)


def cache_folder() -> Path:
    """Where weights are kept; a relative XDG_CACHE_HOME is ignored, as its specification wants."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "vedette" / "weights"


def fetch_network(network: "PublicNetwork", folder: Path, progress: "Progress") -> dict[str, Any]:
    """Bring what is missing, verify what is there.

    Raises:
        UnavailableError: a file cannot be had now; says how to bring it by hand.
        ResultError: what came is not the published file; it is deleted.
        InputError: what is in the folder is not the published file, or the folder cannot be written.
    """
    from vedette.apps.downloading import Wanted, download

    rows = []
    for file in network.files:
        place, accept = folder / file.name, _acceptance(network, file, folder)
        if place.is_file():
            _verify_there(place, accept)
            rows.append(_row(file, place, "already there"))
            continue
        try:
            source = download(Wanted(file.name, file.urls, place, file.size_bytes), accept, progress)
        except UnavailableError as error:
            raise UnavailableError(f"{error}. {_by_hand(network, folder)}") from error
        rows.append(_row(file, place, f"downloaded from {source}"))
    return _document(network, folder, rows)


def take_network(network: "PublicNetwork", folder: Path, brought: Path, progress: "Progress") -> dict[str, Any]:
    """Verify files brought by hand, and put them into the folder.

    Raises:
        InputError: the weights are not there, not the published ones, or cannot be verified without their cfg.
    """
    if not brought.is_file():
        raise InputError(f"--from {brought}: no such file")
    beside = {file.name: brought.with_name(file.name) for file in (network.cfg, network.names)}
    sources = {name: path for name, path in beside.items() if path.is_file()} | {network.weights.name: brought}
    cfg = sources.get(network.cfg.name, folder / network.cfg.name)
    if not cfg.is_file():
        raise InputError(
            f"--from {brought}: the weights are verified with their cfg; put {network.cfg.name} beside them "
            f"(from {network.cfg.urls[0]})"
        )
    given = [file for file in network.files if file.name in sources]
    for file in given:
        _acceptance(network, file, cfg.parent)(sources[file.name])
    rows = []
    for file in network.files:
        place = folder / file.name
        if file in given:
            _copy_whole(sources[file.name], place)
            rows.append(_row(file, place, f"taken from {sources[file.name]}"))
        elif place.is_file():
            _verify_there(place, _acceptance(network, file, folder))
            rows.append(_row(file, place, "already there"))
        else:
            progress.say(f"{file.name} does not lie beside the weights; it is at {file.urls[0]}")
    return _document(network, folder, rows)


def _acceptance(network: "PublicNetwork", file: "PublicFile", folder: Path) -> Callable[[Path], object]:
    """What a file of this network must pass; weights are held against the cfg in the folder."""
    from vedette.learn.darknet.public_weights import verify_file, verify_weights

    def accept(path: Path) -> None:
        verify_file(path, file)
        if file is network.weights:
            verify_weights(path, network, folder / network.cfg.name)

    return accept


def _verify_there(place: Path, accept: Callable[[Path], object]) -> None:
    try:
        accept(place)
    except InputError as error:
        raise InputError(f"{error}; remove it to have it downloaded anew") from error


def _copy_whole(source: Path, place: Path) -> None:
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and source.samefile(place):
            return
        try:
            shutil.copyfile(source, temporary)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{place}: cannot be written: {error.strerror or error}") from error


def _mirrored(network: "PublicNetwork", url: str) -> "PublicNetwork":
    from vedette.apps.downloading import require_safe

    require_safe(url)

    def there(file: "PublicFile") -> "PublicFile":
        return replace(file, urls=(f"{url.rstrip('/')}/{file.name}",))

    return replace(network, weights=there(network.weights), cfg=there(network.cfg), names=there(network.names))


def _by_hand(network: "PublicNetwork", folder: Path) -> str:
    missing = [f"{file.name} (from {file.urls[0]})" for file in network.files if not (folder / file.name).is_file()]
    return (
        f"To bring it by hand: put into {folder} {', '.join(missing)}, and run the same command again: it verifies "
        "what is there"
    )


def _row(file: "PublicFile", place: Path, how: str) -> dict[str, Any]:
    return {"file": str(place), "bytes": place.stat().st_size, "proof": file.proof, "how": how}


def _document(network: "PublicNetwork", folder: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    from vedette.learn.darknet.public_weights import count_parameters

    return {
        "name": network.name,
        "cfg": str(folder / network.cfg.name),
        "weights": str(folder / network.weights.name),
        "names": str(folder / network.names.name),
        "backbone_layers": network.backbone_layers,
        "params": count_parameters(network, folder / network.cfg.name),
        "files": rows,
    }


def _list(json: bool) -> None:
    from vedette.apps.console import print_json, print_line, print_table
    from vedette.learn.darknet.public_weights import NETWORKS

    if json:
        print_json(
            [
                {
                    "name": network.name,
                    "about": network.about,
                    "bytes": network.weights.size_bytes,
                    "proof": network.weights.proof,
                    "files": {file.name: list(file.urls) for file in network.files},
                }
                for network in NETWORKS.values()
            ]
        )
        return
    rows = [
        [
            network.name,
            network.about,
            "" if network.weights.size_bytes is None else f"{network.weights.size_bytes / 1e6:.1f}",
            network.weights.proof,
        ]
        for network in NETWORKS.values()
    ]
    print_table("Public weights", ["name", "what", "MB", "known by"], rows)
    print_line("The number of parameters and finite values are checked too. Addresses: --list --json")


def _print_fetched(document: dict[str, Any]) -> None:
    from vedette.apps.console import print_line

    for row in document["files"]:
        print_line(f"{row['file']}: {row['bytes']} bytes, {row['how']}; verified by {row['proof']}")
    layers = document["backbone_layers"]
    part = "" if layers is None else f" in the first {layers} layers; train from it with `vedette train --weights`"
    print_line(f"{document['name']}: {document['params']} parameters{part}")
