"""What several processes must know alike before they train as one: the run that is resumed, the data, the arithmetic.

Only the first process has the run folder: it may lie on another host. The others work in a folder of their own that
holds the same beginning (settings, cfg, splits, latest checkpoint) and is dropped at the end, so that all of them do
the same things in the same order.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.learn.training.arithmetic import Arithmetic
from vedette.learn.training.checkpoint import FOLDER, POINTER
from vedette.learn.training.errors import RunFolderError, SettingsError
from vedette.learn.training.peers import Peers
from vedette.learn.training.prepare import Prepared
from vedette.learn.training.report import SETTINGS_FILE
from vedette.learn.training.run_folder import CFG_FILE, NAMES_FILE, SPLIT_FILE
from vedette.learn.training.settings import TrainSettings

BEGINNING = (SETTINGS_FILE, CFG_FILE, NAMES_FILE, SPLIT_FILE)


@contextmanager
def own_folder(run_folder: Path, peers: Peers, *, resume: bool) -> Iterator[Path]:
    """The run folder itself for the first process, a likeness of it for any other.

    Raises:
        RunFolderError: what is to be resumed cannot be read.
    """
    names = peers.together(lambda: _beginning(run_folder) if peers.is_first and resume else [])
    names = json.loads(peers.share(json.dumps(names).encode()))
    if peers.is_first:
        for name in names:
            peers.share((run_folder / name).read_bytes())
        yield run_folder
        return
    with tempfile.TemporaryDirectory(prefix="vedette-run-") as folder:
        own = Path(folder) / "run"
        for name in names:
            path = own / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(peers.share(b""))
        yield own


def _beginning(run_folder: Path) -> list[str]:
    """The files of a run that another process needs to go on with it; those that are there."""
    try:
        pointer = run_folder / FOLDER / POINTER
        kept = [run_folder / name for name in BEGINNING]
        if pointer.is_file():
            latest = pointer.parent / pointer.read_text(encoding="utf-8").strip()
            kept += [pointer, *sorted(latest.iterdir())] if latest.is_dir() else [pointer]
        return [path.relative_to(run_folder).as_posix() for path in kept if path.is_file()]
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{run_folder} cannot be read: {error}") from error


def check_shares(settings: TrainSettings, peers: Peers) -> None:
    """Refuse batches that do not reach round.

    Raises:
        SettingsError: a process would have no picture.
    """
    if settings.batch < peers.count and not settings.auto_batch:
        raise SettingsError(
            f"--batch {settings.batch} is shared out among {peers.count} processes: it must be at least {peers.count}"
        )
    if settings.darknet is not None and settings.darknet.part_pictures < peers.count:
        raise SettingsError(
            f"each of the cfg's subdivisions has {settings.darknet.part_pictures} pictures for {peers.count} "
            "processes, and every process needs one: give a larger --batch, or fewer subdivisions"
        )


def check_alike(settings: TrainSettings, prepared: Prepared, arithmetic: Arithmetic, peers: Peers) -> None:
    """Refuse processes that would train something else.

    Raises:
        PeerError: says who differs and in what.
    """
    peers.agree(
        {
            "set of data (digest)": prepared.data_digest,
            "split": _digest(json.dumps({name: list(members) for name, members in prepared.splits.items()})),
            "cfg": _digest(prepared.cfg_text),
            "kind of device": arithmetic.device.type,
            "precision, which --precision gives": "BF16" if arithmetic.bf16 else "FP32",
            "settings": settings.recipe_and_schedule(),
        }
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()
