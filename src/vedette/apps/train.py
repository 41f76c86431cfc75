"""`vedette train`: labelled pictures in, a run folder with weights, cfg, curves and report out."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vedette.apps.job_flags import JobFlags
from vedette.apps.recipe_flags import RecipeFlags
from vedette.apps.train_flags import TrainFlags
from vedette.apps.training_page.showing import showing
from vedette.contracts.errors import UsageError, VedetteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.apps.folder_upload import Uploaded
    from vedette.learn.training.settings import TrainSettings
    from vedette.learn.training.training_run import TrainResult


def train(  # noqa: PLR0913
    *,
    out: Path,
    data: Path | None = None,
    model: str | None = None,
    weights: Path | None = None,
    size: str | None = None,
    epochs: int | None = None,
    batch: int | Literal["auto"] | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    time_budget: str | None = None,
    val_every: int | None = None,
    patience: int | None = None,
    way: Annotated[RecipeFlags | None, Parameter(name="*", group="How it learns")] = None,
    more: Annotated[TrainFlags | None, Parameter(name="*", group="More of the run")] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    on: Literal["sagemaker", "simulator"] | None = None,
    cloud: Annotated[JobFlags | None, Parameter(name="*", group="With --on")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a detector on labelled pictures.

    Classes come from the data. Splits that the data names are honoured (train, val; test is left alone); without them
    a fifth of the pictures, drawn by class from the seed, validates. Ctrl-C, or even kill -9, loses little: --resume
    goes on. Several processes train as one: torchrun --nproc-per-node 2 -m vedette train ...

    Parameters
    ----------
    out
        Folder for the run: weights, cfg, names, curves, pictures, report.html. Must be new, or empty. With
        s3://BUCKET/PREFIX the run is sent there, verified, when it is finished.
    data
        Labelled pictures, a folder or s3://BUCKET/PREFIX: VOC, Darknet, YOLO or COCO, detected. Not for --resume.
    model
        yolov3-tiny, yolov3, or a Darknet cfg of your own. Default: yolov3-tiny.
    weights
        Darknet weights to start from, whole or a backbone; they load as far as they go.
    size
        Network input, 416 or WIDTHxHEIGHT such as 416x256. Default: the cfg's own, or 416.
    epochs
        How many times every picture is shown. Default: 100, or as many as the time budget holds. The recipe darknet
        has its cfg's max_batches.
    batch
        Pictures in a step. Default: auto, which is 8, fewer where memory or data hold fewer, more on a GPU that large
        data keep busy; it is said and kept. The recipe darknet has its cfg's.
    seed
        For the split, the order and the changes of pictures, and the first weights. Default: 0.
    device
        Where to train. Default: auto, CUDA where there is one.
    precision
        Default: auto, BF16 where the hardware multiplies it, else FP32.
    time_budget
        Finish within this wall time instead of a number of epochs: 200s, 15m, 1.5h.
    val_every
        Validate after every Nth epoch. Default: 1.
    patience
        Stop when so many epochs brought nothing better.
    resume
        Go on with the run in --out. What else is given must be what the run was begun with.
    on
        Train elsewhere, followed as if it were here: sagemaker (Amazon SageMaker), or simulator, a rehearsal of that on
        this computer for nothing. Ctrl-C leaves a job alone and says how to come back.
    json
        Print the result as JSON.
    """
    more, way = more or TrainFlags(), way or RecipeFlags()
    if on is not None or cloud is not None:
        from vedette.apps.train_elsewhere import train_elsewhere

        flags = {"data": data, "model": model, "weights": weights, "size": size, "epochs": epochs, "batch": batch}
        flags |= {"seed": seed, "device": device, "precision": precision, "time-budget": time_budget}
        flags |= {"val-every": val_every, "patience": patience, **way.travelling(), **more.travelling()}
        return train_elsewhere(on, cloud, flags, out, resume=resume, json=json)
    # Before torch is imported: threads that wait for each other sleep instead of spinning, which is three times as fast
    # where other processes want the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vedette.apps.durations import parse_duration
    from vedette.storage.address import is_s3_address

    given: dict[str, Any] = {
        "data": None if data is None else str(data),
        "model": model,
        "weights": str(weights) if weights else None,
        "size": size,
        "epochs": epochs,
        "batch": batch,
        "seed": seed,
        "device": device,
        "precision": precision,
        "time_budget_s": None if time_budget is None else parse_duration(time_budget),
        "validate_every": val_every,
        "patience": patience,
    }
    asked = {key: value for key, value in given.items() if value is not None} | more.asked() | way.asked()
    if epochs is not None and time_budget is not None:
        raise UsageError("give --epochs or --time-budget, not both: each says when the run ends")
    with showing(more.show, out if resume else None):
        if more.folds is not None or (resume and not is_s3_address(out) and (out / "folds.json").is_file()):
            from vedette.apps.train_folds import train_folds

            return train_folds(asked, out, more.folds, resume=resume, json=json)
        if is_s3_address(out):
            return _into_s3(asked, out, resume=resume, json=json)
        return _train_here(asked, out, resume, lambda settings, result: _show(settings, result, str(out), json))


def _into_s3(asked: dict[str, Any], out: Path, *, resume: bool, json: bool) -> int:
    from vedette.apps.console import print_json, print_line
    from vedette.apps.train_into_s3 import train_into_s3

    shown: list[tuple[TrainSettings, TrainResult]] = []

    def told(address: str, sent: "Uploaded") -> None:
        if shown:
            _show(*shown[0], address, json)
        elif json:
            print_json({"run": address, "files": sent.files, "size_bytes": sent.size_bytes})
        else:
            print_line(f"{address}: {sent.files} files, {sent.size_bytes / 1e6:.1f} MB")

    def train_in(folder: Path) -> int:
        return _train_here(asked, folder, resume, lambda settings, result: shown.append((settings, result)))

    return train_into_s3(out, train_in, resume=resume, told=told)


def _train_here(
    asked: dict[str, Any], out: Path, resume: bool, show: "Callable[[TrainSettings, TrainResult], None]"
) -> int:
    """Train in a folder of this computer, maybe as one of several processes; the exit code."""
    from vedette.apps.train_here import run_settings, set_up_determinism, train_as
    from vedette.learn.training.errors import PeerError
    from vedette.learn.training.joining import join_peers

    speaks = True
    try:
        with join_peers(os.environ) as peers:
            speaks = peers.local_rank == 0
            settings = run_settings(asked, out, resume, peers)
            set_up_determinism(settings)
            result = train_as(settings, out, resume, peers)
    except VedetteError as error:
        if speaks or isinstance(error, PeerError):
            raise
        return error.exit_code  # what failed in all processes alike is said once on each host
    if result is not None:
        show(settings, result)
    return 0


def _show(settings: "TrainSettings", result: "TrainResult", run: str, json: bool) -> None:
    from vedette.apps.console import print_json, print_line

    if json:
        print_json({**_document(result), "run": run})
        return
    print_line(f"report: {run}/report.html")
    print_line(f"next:   vedette pack --run {run} --out BUNDLE --data {settings.data}")


def _document(result: "TrainResult") -> dict[str, object]:
    return {
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "elapsed_s": round(result.elapsed_s, 1),
        "stopped_early": result.stopped_early,
        "evaluation": result.evaluation.to_json(),
    }
