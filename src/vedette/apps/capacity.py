"""`vedette capacity`: how many cameras this box can watch, at what rate of detection, and what holds it back."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette.apps.capacity_clips import CapacityClip
    from vedette.apps.capacity_report import CapacityReport
    from vedette.apps.capacity_survey import Candidate, SurveyPlan
    from vedette.contracts.ports import Progress

MOST_S = 3600.0


def capacity(  # noqa: PLR0913 - the flags of a command
    *,
    bundle: Annotated[list[Path] | None, Parameter(help="a packed detector; repeat to compare")] = None,
    precision: Annotated[
        list[str] | None,
        Parameter(help="fp32, bf16, fp16, int8; repeat to compare (default: all that the bundle holds)"),
    ] = None,
    engine: Annotated[str | None, Parameter(help="auto (default), openvino or onnxruntime")] = None,
    every: Annotated[int, Parameter(help="detect on every Nth frame of each camera")] = 5,
    video: Annotated[
        list[str] | None,
        Parameter(help="a clip of such a camera; repeat for more (default: drawn, 1080p30, H.264 and H.265)"),
    ] = None,
    verify: Annotated[
        bool, Parameter(negative="", help="run that many cameras, and more, and show the difference")
    ] = False,
    plot: Annotated[
        Path | None, Parameter(help="a chart (.png, .svg, .pdf) of mAP, by the receipts, against cameras")
    ] = None,
    seconds: Annotated[float, Parameter(help="of each measurement")] = 2.0,
    verify_seconds: Annotated[float, Parameter(help="of each run of --verify")] = 20.0,
    json: Annotated[bool, Parameter(negative="", help="print one JSON document")] = False,
) -> int:
    """Measure decoding, inference and tracking here, and say how many cameras this box can watch.

    Costs are processor time, with one processor at work and with all of them. Cameras are counted as if something
    always happened in all of them; gates spare quiet ones. Other programs that run meanwhile make it a little worse.

    Without --bundle only decoding is measured. With --verify the prediction is held against real runs.
    """
    _check_numbers(every, seconds, verify_seconds)
    if not bundle:
        _refuse_without_bundle({"--verify": verify, "--precision": precision, "--engine": engine, "--plot": plot})
    from vedette.apps.capacity_plot import check_plotting, plot_capacity
    from vedette.apps.capacity_survey import SurveyPlan, find_candidates
    from vedette.apps.console import ConsoleProgress, print_json

    if plot is not None:
        check_plotting(plot)
    candidates, notes = find_candidates(bundle or (), precision, engine, need_map=plot is not None)
    plan = SurveyPlan(every, seconds, verify_seconds if verify else None)
    with ConsoleProgress() as progress:
        report = _survey(candidates, plan, video, progress)
    report = replace(report, notes=[*notes, *report.notes])
    if plot is not None:
        plot_capacity(report.rows, plot, every)
    if json:
        print_json(report.to_json())
    else:
        report.print()
    return 0


def _check_numbers(every: int, seconds: float, verify_seconds: float) -> None:
    if every < 1:
        raise UsageError(f"--every {every}: give 1 for every frame, 5 for every fifth")
    for flag, value in (("--seconds", seconds), ("--verify-seconds", verify_seconds)):
        if not 0.1 <= value <= MOST_S:
            raise UsageError(f"{flag} {value:g}: give a number from 0.1 to {MOST_S:g}")


def _refuse_without_bundle(flags: Mapping[str, object]) -> None:
    given = [flag for flag, value in flags.items() if value]
    if given:
        raise UsageError(
            f"{', '.join(given)}: without --bundle only decoding is measured, of which there is nothing to verify, "
            "choose or plot; give a packed detector with --bundle"
        )


def _survey(
    candidates: Sequence[Candidate], plan: SurveyPlan, video: Sequence[str] | None, progress: Progress
) -> CapacityReport:
    from vedette.apps.capacity_survey import survey
    from vedette.contracts.pipeline import Isolation
    from vedette.edge.stream.isolation import resolve_isolation
    from vedette.edge.stream.spawner import Spawner
    from vedette.edge.stream.time_slices import lengthen_time_slices

    lengthen_time_slices()  # as a run does
    with ExitStack() as closing:
        spawner = None
        if resolve_isolation(None) is Isolation.PROCESSES:
            spawner = closing.enter_context(Spawner()).start()
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="vedette-capacity-")))
        clips, notes = _clips(video, folder, progress)
        return replace(survey(clips, candidates, plan, spawner, progress), notes=notes)


def _clips(video: Sequence[str] | None, folder: Path, progress: Progress) -> tuple[list[CapacityClip], Sequence[str]]:
    """The clips given, or drawn ones in every codec that can be encoded here."""
    from vedette.apps.capacity_clips import FORMS, DrawnSize, draw_clip, look_at_clip
    from vedette.apps.capacity_errors import NoEncoderError

    if video:
        return [look_at_clip(path) for path in video], ()
    clips, notes = [], []
    for form in FORMS:
        try:
            clips.append(draw_clip(folder / f"{form.codec}.mp4", form, DrawnSize(), progress))
        except NoEncoderError as error:
            notes.append(str(error))
            if len(notes) == len(FORMS):
                raise
    notes.append("The clips were drawn; one of your own camera, with --video, gives a truer answer.")
    return clips, notes
