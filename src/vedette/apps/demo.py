"""`vedette demo`: the whole loop on one machine: pictures (drawn or real) -> check, train, pack, watch -> report."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vedette.contracts.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from vedette.apps.demo_stages import DemoPlan
    from vedette.apps.demo_watch import WatchOutcome
    from vedette.edge.live.page import LivePage

REPORT_NAME = "vedette-demo-report.html"
COUNT_TOLERANCE, MISSED_LIMIT = 0.05, 0.05


def demo(
    *,
    keep: Annotated[Path | None, Parameter(help="keep everything that is made in this (new or empty) folder")] = None,
    data: Annotated[Path | None, Parameter(help="your own labelled pictures in place of drawn ones")] = None,
    video: Annotated[
        list[Path] | None, Parameter(help="your own videos in place of drawn ones; repeat for more")
    ] = None,
    show: Annotated[str, Parameter(help="[HOST]:PORT of the page")] = ":8080",
    train_time: Annotated[str, Parameter(help="how long to train")] = "180s",
    size: Annotated[str, Parameter(help="the network's input")] = "320x192",
    seed: Annotated[int, Parameter(help="another seed draws another factory")] = 1,
    json: Annotated[bool, Parameter(negative="", help="print one JSON document at the end")] = False,
) -> int:
    """Run the whole loop: draw a factory (or take --data and --video), check, train, pack, watch eight streams, report.

    A live page shows every step. At the end: a table of counted against true crossings, and a report page
    (vedette-demo-report.html, or in the folder of --keep). On a machine that is too small or too busy for eight streams
    in real time, the drawn clips are counted once more without the clock. Exit code 1 when counts are off by more
    than 5 %.
    """
    # Before torch is imported: waiting threads sleep instead of spinning, so that the page stays quick (see `train`).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from vedette.apps.console import ConsoleProgress, print_json, warn
    from vedette.apps.demo_stages import DemoPlan, make_bundle, make_input
    from vedette.apps.demo_watch import watch_demo
    from vedette.apps.durations import parse_duration

    if (data is None) != (not video):
        raise UsageError("--data and --video go together: a detector trained on your pictures watches your videos")
    began = time.monotonic()
    plan = DemoPlan(
        data=data,
        videos=tuple(video or ()),
        train_time_s=parse_duration(train_time),
        size=size,
        seed=seed,
    )
    folder = _folder(keep)
    with folder as name, _open_page(show) as page, ConsoleProgress() as progress:
        warn(f"watch along: {page.url}")
        page.plan_stages(["Drawing", "Checking", "Training", "Packing", "Watching"])
        made = make_input(plan, Path(name), page, progress)
        bundle = make_bundle(plan, made, Path(name), page, progress)
        outcome = watch_demo(made, bundle, page, progress, MISSED_LIMIT)
        report = (Path(name) if keep else Path.cwd()) / REPORT_NAME
        _write_report(report, plan, Path(name), outcome, time.monotonic() - began)
    document = outcome.to_json() | {"report": str(report), "seconds": round(time.monotonic() - began, 1)}
    if json:
        print_json(document)
    else:
        _print_outcome(outcome, report, time.monotonic() - began)
    return 0 if outcome.is_good(COUNT_TOLERANCE, MISSED_LIMIT) else 1


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    """A folder to keep, or one that goes away."""
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="vedette-demo-")
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UsageError(
            f"--keep {keep} is not an empty folder; choose another, so that nothing of yours is overwritten"
        )
    keep.mkdir(parents=True, exist_ok=True)
    return nullcontext(str(keep))


def _open_page(show: str) -> LivePage:
    """The page; when the usual port is taken, a free one, and it says so."""
    from vedette.apps.console import warn
    from vedette.apps.page_opening import open_live_page
    from vedette.apps.pipeline_flags import parse_show
    from vedette.contracts.pipeline import Show

    try:
        address = Show(**parse_show(show))
    except ValueError as error:
        raise UsageError(f"--show {show}: {error}") from error
    try:
        return open_live_page(address)
    except UnavailableError as error:
        warn(f"{error}; taking a free port instead")
        return open_live_page(address.model_copy(update={"port": 0}))


def _write_report(path: Path, plan: DemoPlan, folder: Path, outcome: WatchOutcome, seconds: float) -> None:
    from vedette.apps.console import clock
    from vedette.apps.demo_report import DemoReport, Gallery, ReportTable, Tile, write_demo_report

    tiles = [
        Tile("crossings counted", str(outcome.counted), f"of {outcome.true} true" if outcome.has_truth else ""),
        Tile(
            "detection slots missed",
            f"{outcome.missed:.1%}",
            f"of {outcome.slots}{'; counted once more without the clock' if outcome.counted_unpaced else ''}",
            _mood(outcome.missed < MISSED_LIMIT),
        ),
        Tile("streams", str(len(outcome.summary.cameras)), f"{outcome.frames_per_s:.0f} frames/s in all"),
        Tile("whole run", clock(seconds), outcome.summary.engine),
    ]
    if outcome.has_truth:
        tiles.insert(1, Tile("error in all", f"{outcome.error:.1%}", "", _mood(outcome.error <= COUNT_TOLERANCE)))
    rows = outcome.class_rows()
    cameras = [
        [c.name, str(c.frames), str(c.slots), str(c.drops), f"{c.fps:.1f}", str(c.events)]
        for c in outcome.summary.cameras
    ]
    run = folder / "run"
    curves = {name: (run / name).read_bytes() for name in ("results.png", "PR_curve.png") if (run / name).is_file()}
    write_demo_report(
        DemoReport(
            title="From labelled pictures to counted parts",
            subtitle=f"yolov3-tiny at {plan.size}, trained for {clock(plan.train_time_s)}, then watching in real time",
            tiles=tiles,
            tables=[
                ReportTable("Crossings", outcome.class_columns(), rows[:-1], rows[-1]),
                ReportTable("Cameras", ["camera", "frames", "slots", "missed", "fps", "events"], cameras),
            ],
            galleries=[Gallery("What the cameras saw", outcome.pictures), Gallery("How it learned", curves, wide=True)],
        ),
        path,
    )


def _mood(good: bool) -> str:
    return "good" if good else "bad"


def _print_outcome(outcome: WatchOutcome, report: Path, seconds: float) -> None:
    from vedette.apps.console import clock, print_line, print_table

    print_table("Crossings", outcome.class_columns(), outcome.class_rows())
    if outcome.has_truth:
        print_line(f"counted {outcome.counted} of {outcome.true} true crossings: {outcome.error:.1%} off in all")
    print_line(f"detection slots missed: {outcome.missed_slots} of {outcome.slots} ({outcome.missed:.1%})")
    if outcome.counted_unpaced:
        print_line("too many for this machine: the crossings were counted once more, without the clock")
    print_line(f"eight streams: {outcome.frames_per_s:.0f} frames/s" if len(outcome.summary.cameras) == 8 else "")
    print_line(f"report: {report} · whole run {clock(seconds)}")
