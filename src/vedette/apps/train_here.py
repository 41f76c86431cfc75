"""What `vedette train` does on this computer, as one process or one of several: settings of a run, and the training."""

from __future__ import annotations

import os
from collections.abc import Callable
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.learn.training.peers import Peers
    from vedette.learn.training.series import Series
    from vedette.learn.training.settings import TrainSettings
    from vedette.learn.training.training_run import TrainResult


def run_settings(asked: dict[str, Any], out: Path, resume: bool, peers: Peers) -> TrainSettings:
    """What is asked for over what stands in the run or by default."""
    from vedette.learn.training.recipes import resumed_settings
    from vedette.learn.training.run_folder import RunFolder

    def first_knows() -> dict[str, Any]:
        if resume:
            return dict(resumed_settings(RunFolder(out).read_settings(), asked).to_flat())
        return new_settings(asked)

    return settings_for(asked, first_knows, peers)


def settings_for(asked: dict[str, Any], first_knows: Callable[[], dict[str, Any]], peers: Peers) -> TrainSettings:
    """Settings that the first of several processes knows for all, but for where the data lie on each host."""
    from vedette.learn.training.settings import settings_from_flat

    known = peers.together(lambda: first_knows() if peers.is_first else {})
    for_all = loads(peers.share(dumps(known).encode()))
    own: dict[str, Any] = {
        key: asked[key] for key in ("data", "weights") if key in asked
    }  # where they lie on this host
    return settings_from_flat({**for_all, **own, **_brought(own.get("data", for_all.get("data")), peers)})


def new_settings(asked: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that is begun, flat.

    Raises:
        UsageError: there is no --data, or a setting cannot be.
    """
    from vedette.learn.training.recipes import new_settings as by_recipe

    if "data" not in asked:
        raise UsageError("--data is missing: the folder (or file) with the labelled pictures")
    return dict(by_recipe(asked).to_flat())


def set_up_determinism(settings: TrainSettings) -> None:
    """What must stand in the environment before CUDA is first used."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _brought(data: Any, peers: Peers) -> dict[str, Any]:
    """The data from S3; one process of each host brings it, the others wait."""
    from vedette.apps.object_storage import local_data

    if data is None:
        return {}
    if peers.local_rank:
        peers.wait()
    found = {"data": str(local_data(Path(data)))}
    if not peers.local_rank:
        peers.wait()
    return found


def train_as(
    settings: TrainSettings, out: Path, resume: bool, peers: Peers, series: Series | None = None
) -> TrainResult | None:
    """Train as the process that this is, with a bar if it speaks."""
    from vedette.apps.console import ConsoleProgress, warn
    from vedette.apps.training_page.showing import shown_too
    from vedette.contracts.ports import SilentProgress
    from vedette.learn.training.loop import train_together

    if peers.are_many and peers.local_rank == 0:
        warn(f"{peers.name} has met the others")
    if not peers.is_first:
        return train_together(peers, settings, out, SilentProgress(), resume=resume, series=series)
    with ConsoleProgress() as progress:
        return train_together(peers, settings, out, shown_too(progress, out), resume=resume, series=series)
