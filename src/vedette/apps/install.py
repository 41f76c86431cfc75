"""`vedette install` and `vedette rollback`: what runs on this box, switched as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.detections import Detections
    from vedette.contracts.ports import Progress
    from vedette.edge.update.releases import Releases

SYSTEM_FOLDER = Path("/var/lib/vedette")  # that of deploy/systemd/vedette.service


def install(
    source: str,
    /,
    *,
    to: Annotated[Path | None, Parameter(help="the folder of releases")] = None,
    engine: Annotated[
        Literal["auto", "openvino", "onnxruntime", "tensorrt"], Parameter(help="the engine that the pipeline will run")
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "int8"], Parameter(help="the precision that the pipeline will run")
    ] = "fp32",
    json: Annotated[bool, Parameter(negative="", help="print one JSON document")] = False,
) -> int:
    """Install a bundle on this box: fetch, verify, prove it on the engine that is here, switch, keep the previous one.

    SOURCE is a bundle's folder, `s3://BUCKET/PREFIX`, or the `model.tar.gz` of a SageMaker job (in S3 or here). Name
    `DIR/current` as the bundle in the pipeline file; `vedette rollback` goes back. DIR is `/var/lib/vedette` for root,
    `~/.local/share/vedette` for others, unless `--to` says another.

    The golden pictures of the bundle must come out as the reference found them. Killed, powered off or out of disk at
    any point, the box has the old release or the new one.
    """
    from vedette.apps.bundle_arrival import bring
    from vedette.apps.console import ConsoleProgress, print_json, print_line
    from vedette.edge.update.releases import Releases

    releases = Releases(to if to is not None else default_folder())
    with releases.locked(), ConsoleProgress() as progress, releases.staging() as folder:
        staged = bring(source, releases, folder, progress)
        proved, described = _prove(staged, engine, precision, progress)
        progress.say(f"{described}: reproduces {proved} golden detections")
        before = releases.running()
        release = releases.keep(staged)
        releases.switch(release)
    changed = before.current != release
    if json:
        print_json({**_report(releases), "changed": changed, "engine": described, "golden_detections": proved})
        return 0
    print_line(f"{staged.manifest.name} {staged.digest[:12]} {'is installed' if changed else 'was installed already'}")
    print_line(f"bundle: {releases.link}")
    if changed:
        print_line("a run that is under way takes it when it starts again: systemctl restart vedette")
        if releases.running().previous is not None:
            print_line("to go back: vedette rollback" + ("" if to is None else f" --to {to}"))
    return 0


def rollback(
    *,
    to: Annotated[Path | None, Parameter(help="the folder of releases, as for `vedette install`")] = None,
    json: Annotated[bool, Parameter(negative="", help="print one JSON document")] = False,
) -> int:
    """Go back to the release that ran before the present one; the present one becomes the previous one.

    The release is verified first, byte by byte; a damaged one is refused and nothing changes.
    """
    from vedette.apps.console import print_json, print_line
    from vedette.edge.update.errors import NoReleaseError
    from vedette.edge.update.releases import Releases

    releases = Releases(to if to is not None else default_folder())
    if not releases.folder.is_dir():  # a name mistyped makes no folders
        raise NoReleaseError(f"{releases.folder}: nothing was ever installed here; name the folder with --to")
    with releases.locked():
        releases.roll_back()
    report = _report(releases)
    if json:
        print_json(report)
        return 0
    now = report["current"]
    print_line(f"{now['name']} {now['digest'][:12]} is back; vedette rollback again undoes this")
    print_line("a run that is under way takes it when it starts again: systemctl restart vedette")
    return 0


def default_folder() -> Path:
    """Where releases are kept unless somebody says another place; a relative XDG_DATA_HOME is ignored."""
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".local" / "share") / "vedette"


def _prove(staged: OpenBundle, engine: str, precision: str, progress: Progress) -> tuple[int, str]:
    """Build the engine that will run, and let it reproduce the golden pictures."""
    from vedette.apps.object_storage import tensorrt_settings
    from vedette.bundle_folder import read_golden
    from vedette.contracts.bundle import Precision
    from vedette.contracts.pipeline import EngineChoice
    from vedette.edge.engines.opening import choose_variant, open_detector
    from vedette.edge.update.gate import require_golden

    golden = read_golden(staged)
    chosen, variant = choose_variant(staged.manifest, EngineChoice(engine), Precision(precision))
    settings = tensorrt_settings(progress)
    detector = open_detector(
        staged, chosen, Precision(precision), score=golden.score, nms_iou=golden.nms_iou, tensorrt=settings
    )
    progress.start("proving", len(golden.pictures), "golden pictures")

    def detect(picture: NDArray[np.uint8]) -> Detections:
        found = detector(picture)
        progress.advance()
        return found

    described = detector.engine_description
    return require_golden(staged, golden, detect, variant, described), described


def _report(releases: Releases) -> dict[str, dict[str, str]]:
    from vedette.bundle_folder import BundleError, open_bundle

    pair = releases.running()
    report: dict[str, dict[str, str]] = {"link": {"path": str(releases.link)}}
    for name, place in (("current", pair.current), ("previous", pair.previous)):
        if place is None:
            continue
        try:
            opened = open_bundle(place)
        except BundleError as error:
            report[name] = {"path": str(place), "error": str(error)}
            continue
        report[name] = {
            "path": str(place),
            "name": opened.manifest.name,
            "version": opened.manifest.version,
            "digest": opened.digest,
        }
    return report
