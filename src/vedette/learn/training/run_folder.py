"""RUN: what a training run leaves behind, file by file. Every file is written whole or not at all.

Names are those that issue, report and `vedette pack --run` agree on. Checkpoints are `checkpoint`'s matter, charts
`plots`'.
"""

import csv
import errno
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.learn.darknet.errors import WeightsError
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.darknet.weights import write_weights
from vedette.learn.data.split_files import write_split_file
from vedette.learn.training.atomic import write_atomically
from vedette.learn.training.errors import ResumeError, RunFolderError
from vedette.learn.training.report import RESULTS_COLUMNS, RESULTS_FILE, SETTINGS_FILE

CFG_FILE, NAMES_FILE, SPLIT_FILE = "model.cfg", "names.txt", "split.json"
CLASS_MAP_FILE = "class-map.json"  # of a run with one class: what --class-map wants
OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT}
)
BEST_FILE, LAST_FILE = "best.weights", "last.weights"

Row = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    def check_free(self) -> None:
        """Refuse a place where something lies already, or nothing can be written; leaves nothing there.

        Raises:
            RunFolderError: it does.
        """
        try:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                hint = f"; to go on with the run in it: vedette train --out {self.path} --resume"
                resumable = hint if (self.path / SETTINGS_FILE).is_file() else ""
                raise RunFolderError(f"{self.path} is not empty; choose another folder{resumable}")
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be looked into: {error.strerror or error}") from error
        self._try_to_write()

    def _try_to_write(self) -> None:
        """See that the folder can be made and written to; gone afterwards, if it was not there before."""
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.create()
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written to: {error.strerror or error}") from error
        finally:
            for path in missing:
                with suppress(OSError):  # it could not be made, or somebody else works in it
                    path.rmdir()

    @contextmanager
    def written(self, again: str) -> Iterator[None]:
        """Say what the disk refuses while the run writes, and how to go on; `again` is the command for that.

        Raises:
            RunFolderError: it is full, or cannot be written to any more.
        """
        try:
            yield
        except (OSError, WeightsError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in OF_THE_DISK:
                raise
            is_begun = (self.path / SETTINGS_FILE).is_file()
            way = f"then go on: {again}" if is_begun else f"remove {self.path} and begin again"
            raise RunFolderError(
                f"{self.path} cannot be written to: {cause.strerror}; make room, or see to the disk, and {way}"
            ) from error

    def create(self) -> None:
        """Make it.

        Raises:
            RunFolderError: it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be made: {error.strerror or error}") from error

    def remove_leftovers(self) -> None:
        """Drop the half-written files that a killed run has left."""
        for pattern in (".*.part", ".*.partial.*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        self.write_document(SETTINGS_FILE, settings)

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """A JSON file of one object."""
        self._write_text(name, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Any other text file."""
        self._write_text(name, text)

    def read_settings(self) -> dict[str, Any]:
        """What the run was begun with.

        Raises:
            RunFolderError: there is no run here.
        """
        path = self.path / SETTINGS_FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        except OSError as error:
            raise RunFolderError(f"{self.path} holds no run to resume; train without --resume") from error
        except ValueError as error:
            raise RunFolderError(
                f"{path} is damaged ({error}); bring it back, or train anew in another folder"
            ) from error
        if not isinstance(document, dict):
            raise RunFolderError(f"{path} is damaged (no object); bring it back, or train anew in another folder")
        return document

    def write_network(self, cfg_text: str, classes: Sequence[str], splits: Mapping[str, Sequence[str]]) -> None:
        """model.cfg, names.txt and split.json."""
        self._write_text(CFG_FILE, cfg_text)
        self._write_text(NAMES_FILE, "".join(f"{name}\n" for name in classes))
        write_split_file(self.path / SPLIT_FILE, splits)

    def read_cfg(self) -> str:
        """The run's cfg.

        Raises:
            ResumeError: it is not there.
        """
        try:
            return (self.path / CFG_FILE).read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise ResumeError(f"{self.path / CFG_FILE} cannot be read; the run cannot go on without it") from error

    def write_results(self, history: Sequence[Row]) -> None:
        """results.csv, all of it: a resumed run has no rows from after its checkpoint."""

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, RESULTS_COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows({key: _cell(row.get(key)) for key in RESULTS_COLUMNS} for row in history)

        write_atomically(self.path / RESULTS_FILE, write)

    def write_weights(self, name: str, plan: NetworkPlan, network: DarknetNetwork, seen: int) -> None:
        """best.weights or last.weights, in Darknet's format."""
        write_weights(self.path / name, plan, network.to_darknet(seen))

    def _write_text(self, name: str, text: str) -> None:
        encoded = text.encode("utf-8", errors="surrogateescape")
        write_atomically(self.path / name, lambda temporary: temporary.write_bytes(encoded))


def _cell(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.6g}"
