"""The channels of a job: where the labelled pictures lie, and, if sent, starting weights, a cfg, a recipe and so on.

File mode gives a copy, FastFile mode a read-only mount; both are plain folders here, and nothing is written into them.
Pipe mode gives a FIFO that can be read once and in one order; training shows every picture many times in random order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.learn.sagemaker.container.folders import Folders
from vedette.learn.sagemaker.errors import ContractError

DATA_CHANNELS = ("train", "training", "data")  # one of them; the first is ours
WEIGHTS_CHANNEL, CFG_CHANNEL = "weights", "cfg"
RECIPE_CHANNEL, CLASS_WEIGHTS_CHANNEL = "recipe", "class-weights"  # named as the flags that take such files
FILE_CHANNELS = (WEIGHTS_CHANNEL, CFG_CHANNEL, RECIPE_CHANNEL, CLASS_WEIGHTS_CHANNEL)
CODE_CHANNEL = "code"  # the wheel, for an image without Vedette in it; read before this program starts
PUSHED = ("objects", "versions", "tags")  # folders of what `vedette data push` has put there
MODES = ("File", "FastFile")


@dataclass(frozen=True, slots=True)
class Channels:
    """What was sent."""

    data: Path
    weights: Path | None
    cfg: Path | None
    recipe: Path | None = None
    class_weights: Path | None = None

    @property
    def flags(self) -> dict[str, str]:
        """Flags of `vedette train` that name a file which was sent; the cfg, which a resumed run has, is not among
        them.
        """
        files = {WEIGHTS_CHANNEL: self.weights, RECIPE_CHANNEL: self.recipe, CLASS_WEIGHTS_CHANNEL: self.class_weights}
        return {name: str(path) for name, path in files.items() if path is not None}

    @property
    def is_pushed(self) -> bool:
        """Whether the data is not a plain folder but versions, as `vedette data push` puts them into S3."""
        return all((self.data / name).is_dir() for name in PUSHED)


def find_channels(folders: Folders, config: Mapping[str, Any], environ: Mapping[str, str], hosts: int) -> Channels:
    """Check the modes and find the files.

    Without inputdataconfig.json (a local rehearsal), the folders that are there are the channels.

    Raises:
        ContractError: a channel is missing, unknown, empty, or of a kind that cannot be trained from.
    """
    names = list(config) or _folder_names(folders.data)
    paths = {name: Path(environ.get(f"SM_CHANNEL_{name.upper()}") or folders.data / name) for name in names}
    known = (*DATA_CHANNELS, *FILE_CHANNELS, CODE_CHANNEL)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ContractError(
            f"unknown channel '{unknown[0]}': Vedette takes 'train' (one data set, its splits in it), and if wanted "
            f"{', '.join(FILE_CHANNELS[:-1])} and {FILE_CHANNELS[-1]}; put validation pictures into the data set, in "
            "its 'val' split"
        )
    for name in names:
        _check_kind(name, config.get(name), hosts)
    data = [name for name in names if name in DATA_CHANNELS]
    if len(data) != 1:
        there = f"the job has {', '.join(names)}" if names else "the job has no channel at all"
        what = "more than one channel" if data else "no channel"
        raise ContractError(f"{what} with labelled pictures: send one, called 'train'; {there}")
    files = [_only_file(paths.get(one), one, ".cfg" if one == CFG_CHANNEL else "") for one in FILE_CHANNELS]
    return Channels(_folder(paths[data[0]], data[0]), *files)


def _folder_names(data: Path) -> list[str]:
    return sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []


def _check_kind(name: str, kind: Any, hosts: int) -> None:
    if not isinstance(kind, dict):
        kind = {}
    mode = kind.get("TrainingInputMode") or MODES[0]
    if mode not in MODES:
        raise ContractError(
            f"channel '{name}' comes in {mode} mode, which gives every byte once and in one order, but training shows "
            "each picture many times in random order: use File, or FastFile for a data set larger than the disk"
        )
    if (kind.get("RecordWrapperType") or "None") != "None":
        raise ContractError(f"channel '{name}' is wrapped in {kind['RecordWrapperType']}: send plain files instead")
    if hosts > 1 and kind.get("S3DistributionType") == "ShardedByS3Key":
        raise ContractError(
            f"channel '{name}' is ShardedByS3Key: labels and pictures would be parted; send it FullyReplicated"
        )


def _folder(path: Path, name: str) -> Path:
    try:
        if any(path.iterdir()):
            return path
    except OSError as error:
        raise ContractError(f"channel '{name}' is not in {path}: {error.strerror or error}") from error
    raise ContractError(f"channel '{name}' is empty ({path}): its S3Uri names nothing, or lacks the '/' at its end")


def _only_file(path: Path | None, name: str, ending: str) -> Path | None:
    """The one file of a channel."""
    if path is None:
        return None
    files = sorted(one for one in _folder(path, name).rglob("*") if one.is_file() and one.name.endswith(ending))
    if len(files) != 1:
        shown = ", ".join(one.name for one in files[:5]) or "none"
        raise ContractError(f"channel '{name}' must hold one file{f' *{ending}' if ending else ''}; it holds {shown}")
    return files[0]
