"""`vedette run`: from a pipeline file, or from flags that say the same, to a finished run."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vedette.apps.run_report import RunSummary
    from vedette.apps.video import VideoParts
    from vedette.apps.watching import Watch
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.box_health import BoxHealth
    from vedette.contracts.pipeline import Pipeline
    from vedette.contracts.ports import Detector, EventSink, Progress, View
    from vedette.edge.counting.keeper import CountsKeeper
    from vedette.edge.live.page import LivePage
    from vedette.edge.stream.spawner import Spawner

PIPE_PATIENCE_S = 2.0  # for whoever reads events from a pipe, where nothing is lost by waiting


def run(  # noqa: PLR0913 - the flags of a command
    pipeline: Annotated[Path | None, Parameter(help="a pipeline file (YAML); or give the flags below")] = None,
    *,
    bundle: Annotated[Path | None, Parameter(help="the packed detector: a folder, or s3://BUCKET/PREFIX")] = None,
    camera: Annotated[
        list[str] | None, Parameter(help="[NAME=]URL: a file, rtsp(s)://, http(s)://, usb:N or csi:N; repeat for more")
    ] = None,
    every: Annotated[int | None, Parameter(help="detect on every Nth frame of each camera (default 5)")] = None,
    detect_fps: Annotated[
        str | None,
        Parameter(
            help="instead of --every: detections a second of each camera, by the video's own time; auto: as many as "
            "the machine gives, shared fairly"
        ),
    ] = None,
    line: Annotated[
        list[str] | None, Parameter(help="[NAME=]x1,y1,x2,y2 in source pixels or per cent (50%); for every camera")
    ] = None,
    zone: Annotated[list[str] | None, Parameter(help="NAME=x,y;x,y;x,y...; for every camera")] = None,
    anchor: Annotated[
        str | None, Parameter(help="which point of a box counts: bottom_centre (default) or centre")
    ] = None,
    show: Annotated[str | None, Parameter(help="[HOST]:PORT of the live page, for example :8080")] = None,
    tls: Annotated[
        str | None, Parameter(help="for the live page: CERT,KEY, one PEM file with both, or self-signed")
    ] = None,
    events: Annotated[
        list[str] | None, Parameter(help="FILE, mqtt://HOST:PORT/TOPIC or kafka://HOST:PORT/TOPIC; repeat for more")
    ] = None,
    counts: Annotated[
        str | None,
        Parameter(
            help="FILE that keeps the counts over restarts, or off (default: one of this user's for live cameras, off "
            "for films)"
        ),
    ] = None,
    record: Annotated[Path | None, Parameter(help="folder for annotated MP4 files")] = None,
    clips: Annotated[
        Path | None, Parameter(help="folder for clips of events: 5 s before to 5 s after, the camera's own video")
    ] = None,
    clips_quota: Annotated[
        str | None, Parameter(help="what clips may take, how long they stay: 20GB, 14d or 20GB,14d (default 10GB)")
    ] = None,
    publish: Annotated[
        str | None,
        Parameter(help="push the cameras' own video to a media server: rtsp://HOST/PATH, with {camera} for its name"),
    ] = None,
    loop: Annotated[bool, Parameter(negative="", help="start camera files again at their end")] = False,
    realtime: Annotated[bool, Parameter(negative="", help="pace camera files by their timestamps")] = False,
    score: Annotated[float | None, Parameter(help="least score (default: the bundle's)")] = None,
    engine: Annotated[str | None, Parameter(help="auto (default), openvino, onnxruntime or tensorrt")] = None,
    precision: Annotated[
        str | None, Parameter(help="fp32 (default); int8, where the bundle has it; bf16, where the processor has it")
    ] = None,
    gate: Annotated[
        str | None,
        Parameter(
            help="what is spared while nothing happens: off, motion (detection), bitstream (decoding too); "
            "auto (default): bitstream for live cameras and --realtime"
        ),
    ] = None,
    isolation: Annotated[
        str | None, Parameter(help="how each camera decodes: processes (default on Linux) or threads")
    ] = None,
    give_up_after: Annotated[
        str | None,
        Parameter(help="a live camera that is away for so long (15m) has failed; 0: at once (default: never)"),
    ] = None,
    duration: Annotated[str | None, Parameter(help="stop after this long, for example 90s, 15m, 2h")] = None,
    json: Annotated[bool, Parameter(negative="", help="print one JSON document at the end")] = False,
) -> int:
    """Watch cameras: detect, track, count what crosses lines and stays in zones, send events.

    Files that are not paced are watched as fast as possible and lose nothing; live cameras and --realtime files never
    wait: the newest frame wins and every drop is counted. A file that fails is reported and the others go on. A live
    camera that cannot be opened, or goes away, is reported once and opened again until it comes back: a run with one
    goes on until it is stopped.

    Exit code 0 unless every camera failed; 130 after Ctrl-C.
    """
    flags = {
        "bundle": bundle,
        "cameras": camera,
        "every": every,
        "fps": detect_fps,
        "lines": line,
        "zones": zone,
        "anchor": anchor,
        "show": show,
        "tls": tls,
        "events": events,
        "counts": counts,
        "record": record,
        "clips": clips,
        "clips_quota": clips_quota,
        "publish": publish,
        "loop": loop or None,
        "realtime": realtime or None,
        "score": score,
        "engine": engine,
        "precision": precision,
        "gate": gate,
        "isolation": isolation,
        "give_up_after": give_up_after,
    }
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    with _lean_start():
        return _run(given, pipeline, duration, json)


@contextmanager
def _lean_start() -> Iterator[None]:
    """Load what a run needs without threads for linear algebra, which spin, and without looking for garbage or plugins.

    Pydantic would read the entry points of everything that is installed.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's; read when it is loaded; a tracker's matrices are tiny
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _run(given: dict[str, Any], pipeline: Path | None, duration: str | None, json: bool) -> int:
    from vedette.apps.pipeline_file import flags_to_pipeline, read_pipeline

    if pipeline is not None:
        if given:
            names = ", ".join(sorted(given))
            raise UsageError(f"a pipeline file says everything itself; take away the flags for {names}, or the file")
        settings = read_pipeline(pipeline)
    else:
        settings = flags_to_pipeline(**given)
    from vedette.apps.console import print_json
    from vedette.apps.durations import parse_duration

    duration_s = None if duration is None else parse_duration(duration)
    summary, interrupted = _run_to_the_end(settings, duration_s, pipeline)
    if json:
        print_json(summary.to_json())
    else:
        summary.print()
    if interrupted:
        return 130
    return 1 if summary.all_failed else 0


def _run_to_the_end(settings: Pipeline, duration_s: float | None, file: Path | None) -> tuple[RunSummary, bool]:
    """Open everything, run, close everything; true when Ctrl-C ended it. `file` is where lines drawn are saved."""
    from vedette.apps.box_watching import box_health
    from vedette.apps.console import ConsoleProgress, warn
    from vedette.apps.kept_counts import kept_counts
    from vedette.apps.rules_desk import RulesDesk
    from vedette.apps.run_ending import stopped_by_signals, stopped_in_time
    from vedette.apps.run_progress import shown_progress
    from vedette.apps.service_notice import service_notices
    from vedette.apps.trying_now import tried_now
    from vedette.apps.video import opened_video
    from vedette.edge.engines.lean_openvino import leave_converter_out
    from vedette.edge.stream.time_slices import lengthen_time_slices

    lengthen_time_slices()
    leave_converter_out()
    with ExitStack() as closing:
        spawner = closing.enter_context(start_spawner(settings))
        with ConsoleProgress() as building:
            opened, detector = open_pipeline_detector(settings, building)
        video = closing.enter_context(opened_video(settings))
        page = open_page(settings, video)
        if page is not None:
            closing.enter_context(page)
            warn(f"live page: {page.url}")
        health = closing.enter_context(box_health())
        keeper = closing.enter_context(kept_counts(settings))
        watch = build_watch(
            settings, opened, detector, page, spawner=spawner, health=health, keeper=keeper, video=video
        )
        if page is not None:
            page.set_rules(RulesDesk(settings, watch.change_rules, file))
        closing.enter_context(tried_now(settings, watch.try_now, page))
        interrupted = closing.enter_context(stopped_by_signals(watch.stop))
        closing.enter_context(stopped_in_time(watch.stop, duration_s))
        gc.freeze()  # what was imported stays: no collection needs to look through it again
        gc.enable()
        with shown_progress(watch), service_notices(watch.statistics):
            summary = watch.run()
        return summary, interrupted.is_set()


@contextmanager
def start_spawner(settings: Pipeline) -> Iterator[Spawner | None]:
    """What decoder processes are forked from, starting while the detector is opened; None where cameras are threads."""
    from vedette.contracts.pipeline import Isolation
    from vedette.edge.stream.isolation import resolve_isolation
    from vedette.edge.stream.spawner import Spawner

    if resolve_isolation(settings.isolation) is Isolation.THREADS:
        yield None
        return
    with Spawner() as spawner:
        yield spawner.start()


def open_pipeline_detector(settings: Pipeline, progress: Progress | None = None) -> tuple[OpenBundle, Detector]:
    """The verified bundle and its detector, with the pipeline's engine, precision and thresholds."""
    from vedette.apps.object_storage import local_bundle, tensorrt_settings
    from vedette.apps.watching import WEAK_SHARE, least_score
    from vedette.bundle_folder import open_bundle
    from vedette.edge.engines.submitting import open_async_detector

    opened = open_bundle(local_bundle(settings.bundle))
    detect = settings.detect
    detector = open_async_detector(
        opened,
        detect.engine,
        detect.precision,
        score=WEAK_SHARE * least_score(settings, opened.manifest),
        nms_iou=detect.nms_iou,
        max_detections=detect.max_detections,
        tensorrt=tensorrt_settings(progress),
    )
    return opened, detector


def open_page(settings: Pipeline, video: VideoParts | None = None) -> LivePage | None:
    """The live page where the pipeline asks for one."""
    if settings.show is None:
        return None
    from vedette.apps.page_opening import open_live_page

    return open_live_page(settings.show, () if video is None else video.routes)


def build_watch(  # noqa: PLR0913 - what a run is wired from, by name
    settings: Pipeline,
    opened: OpenBundle,
    detector: Detector,
    page: LivePage | None,
    *,
    views: Sequence[View] = (),
    sinks: Sequence[EventSink] = (),
    spawner: Spawner | None = None,
    health: Callable[[], BoxHealth | None] = lambda: None,
    keeper: CountsKeeper | None = None,
    video: VideoParts | None = None,
) -> Watch:
    """Wire one run, with more views and sinks than the pipeline names.

    The caller closes the page, the keeper of counts and the video, the run all else.
    """
    from vedette.apps.console import warn
    from vedette.apps.pipeline_file import camera_specs
    from vedette.apps.run_insight import RunInsight
    from vedette.apps.watching import Watch, WatchOutlets

    specs = camera_specs(settings)
    with ExitStack() as undo:
        own_sinks, all_views = open_sinks(settings), [*views]
        for sink in own_sinks:
            undo.callback(sink.close)
        if settings.record is not None:
            from vedette.edge.live.recorder import Recorder  # it brings FFmpeg along

            lossless = all(spec.is_lossless for spec in specs)
            recorder = Recorder(Path(settings.record), lossless=lossless, status=lambda: watch.status())  # noqa: PLW0108 - made below
            undo.callback(recorder.close)
            all_views.append(recorder)
        listeners = [] if page is None else [page.add_event]
        before = {}
        if keeper is not None:
            listeners.append(keeper.add)
            before = keeper.store.totals()
        outlets = WatchOutlets([*own_sinks, *sinks], all_views, page, listeners, before, video)
        watch = Watch(
            settings,
            specs,
            detector,
            opened.digest,
            outlets,
            on_camera_error=lambda _, error: warn(error),
            spawner=spawner,
            health=health,
        )
        undo.pop_all()
    if page is not None:
        page.set_status(watch.status)
        page.set_insight(RunInsight(watch, keeper))
    return watch


def open_sinks(settings: Pipeline) -> list[EventSink]:
    """Where the pipeline sends its events, opened; all of them or none."""
    from vedette.apps.pipeline_file import read_secret
    from vedette.contracts.pipeline import FileTarget, MqttTarget
    from vedette.edge.messaging.file import FileSink

    never_late = any(one.is_live or one.realtime for one in settings.cameras)
    sinks: list[EventSink] = []
    with ExitStack() as undo:
        for target in settings.events:
            sink: EventSink
            if isinstance(target, FileTarget):
                sink = FileSink(Path(target.path), 0.0 if never_late else PIPE_PATIENCE_S)
            else:
                password = read_secret(target.password_file, target.password_env)
                if isinstance(target, MqttTarget):
                    from vedette.edge.messaging.mqtt import MqttSink  # with paho, HTTP and TLS

                    sink = MqttSink(target, password)
                else:
                    from vedette.edge.messaging.kafka import KafkaSink

                    sink = KafkaSink(target, password)
            undo.callback(sink.close)
            sinks.append(sink)
        undo.pop_all()
    return sinks
