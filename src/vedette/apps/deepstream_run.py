"""`vedette deepstream run`: deepstream-app on a rendered folder, watched, started again, its messages made events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.apps.deepstream_watching import DeepStreamWatch
    from vedette.contracts.pipeline import EventTarget, KafkaTarget, MqttTarget, Pipeline
    from vedette.edge.deepstream.rendered import RenderedFacts
    from vedette.edge.deepstream.supervising import Outcome, Patience
    from vedette.edge.messaging.kafka_reader import KafkaReader
    from vedette.edge.messaging.mqtt_reader import MqttReader

LISTEN_S = 10.0  # how long deepstream-app is held back until its messages can be heard
LOOK_EVERY_S = 0.25
REST_S, REST_MOST_S = 0.5, 5.0
SAY_EVERY_S = 60.0


def run_app(  # noqa: PLR0913 - the flags of a command
    folder: Path,
    *,
    events: Annotated[
        list[str] | None,
        Parameter(help="instead of the pipeline's targets: FILE, mqtt://HOST:PORT/TOPIC or kafka://HOST:PORT/TOPIC"),
    ] = None,
    show: Annotated[str | None, Parameter(help="[HOST]:PORT of the live page, for example :8080")] = None,
    hang_after: Annotated[
        str, Parameter(help="no **PERF line (one comes every 5 s), or rates of zero, for so long is a hang")
    ] = "60s",
    start_within: Annotated[
        str, Parameter(help="the first **PERF line comes within this; the first start builds the engine")
    ] = "30m",
    stop_within: Annotated[str, Parameter(help="how long it may take to end before it is killed")] = "10s",
    attempts: Annotated[int, Parameter(help="give up after so many starts in a row without one picture")] = 5,
    prove: Annotated[
        str | None, Parameter(help="the bundle: the engine must first reproduce its golden pictures, by trtexec")
    ] = None,
    duration: Annotated[str | None, Parameter(help="stop after this long, for example 90s, 15m, 2h")] = None,
    json: Annotated[bool, Parameter(negative="", help="print one JSON document at the end")] = False,
) -> int:
    """Run deepstream-app on a folder that `vedette deepstream render` wrote.

    Starts its run.sh, reads the rates that deepstream-app prints, ends it when it hangs and starts it again when it
    fails, waiting 1, 2, 4 .. 60 s; films are not started again, since they would be counted twice. Messages are read
    back from the folder's broker; lines and zones are evaluated on their tracks, and the events go to --events, or to
    those targets of the pipeline that do not hold the messages themselves.

    Exit code 0 when the films are over or it was told to stop, 1 when deepstream-app cannot be kept running; 130 after
    Ctrl-C.
    """
    from vedette.apps.console import print_json, warn
    from vedette.apps.deepstream_proving import prove_engine
    from vedette.apps.durations import parse_duration
    from vedette.edge.deepstream.rendered import read_facts
    from vedette.edge.deepstream.supervising import Outcome, Patience

    if attempts < 1:
        raise UsageError("--attempts: give 1 or more")
    facts = with_flags(read_facts(folder), events, show)
    patience = Patience(
        start_s=parse_duration(start_within),
        hang_s=parse_duration(hang_after),
        stop_s=parse_duration(stop_within),
        attempts=attempts,
    )
    limit_s = None if duration is None else parse_duration(duration)
    if prove is not None:
        prove_engine(folder, facts, prove, warn)
    watch, outcome, interrupted = _run_to_the_end(folder, facts, patience, limit_s)
    summary = watch.summary()
    if json:
        print_json(summary.to_json() | {"messages": {"read": watch.messages, "refused": watch.refused}})
    else:
        summary.print()
    if interrupted:
        return 130
    return 1 if outcome is Outcome.FAILED or summary.all_failed else 0


def with_flags(facts: RenderedFacts, events: Sequence[str] | None, show: str | None) -> RenderedFacts:
    """The facts with the targets and the page that count.

    Raises:
        UsageError: events would go where the messages are.
    """
    from vedette.apps.pipeline_file import flags_to_pipeline

    pipeline = facts.pipeline
    flags = flags_to_pipeline(bundle="unused", cameras=["usb:0"], events=events or (), show=show)
    changes: dict[str, object] = {} if show is None else {"show": flags.show}
    if events:
        changes["events"] = flags.events
        wrong = [target for target in flags.events if _holds_messages(target, facts)]
        if wrong and facts.messages is not None:
            raise UsageError(
                f"--events: deepstream-app's own messages are in topic '{facts.messages.topic}' of that broker; give "
                "another topic"
            )
    else:
        changes["events"] = tuple(target for target in pipeline.events if not _holds_messages(target, facts))
    return facts.model_copy(update={"pipeline": pipeline.model_copy(update=changes)})


def _holds_messages(target: EventTarget, facts: RenderedFacts) -> bool:
    messages = facts.messages
    if messages is None or target.kind == "file" or (target.kind, target.topic) != (messages.kind, messages.topic):
        return False
    brokers = target.brokers if target.kind == "kafka" else (f"{target.host}:{target.port}",)
    return not set(messages.addresses).isdisjoint(brokers)


def _run_to_the_end(
    folder: Path, facts: RenderedFacts, patience: Patience, duration_s: float | None
) -> tuple[DeepStreamWatch, Outcome, bool]:
    """Open everything, run, close everything; true when Ctrl-C ended it."""
    from vedette.apps.box_watching import box_health
    from vedette.apps.console import warn
    from vedette.apps.deepstream_watching import DeepStreamWatch
    from vedette.apps.run import open_page, open_sinks
    from vedette.apps.run_ending import stopped_by_signals, stopped_in_time
    from vedette.apps.service_notice import service_notices
    from vedette.apps.watching import WatchOutlets
    from vedette.edge.deepstream.program import Program
    from vedette.edge.deepstream.render_settings import RUN_FILE
    from vedette.edge.deepstream.supervising import Outcome, Supervisor

    command, at = [str((folder / RUN_FILE).absolute())], folder.absolute()
    with ExitStack() as closing:
        page = open_page(facts.pipeline)
        if page is not None:
            closing.enter_context(page)
            warn(f"live page: {page.url}")
        sinks = open_sinks(facts.pipeline)
        for sink in sinks:
            closing.callback(sink.close)
        health = closing.enter_context(box_health())
        outlets = WatchOutlets(sinks, (), page, [] if page is None else [page.add_event])
        watch = DeepStreamWatch(facts, outlets, warn, health=health)
        if page is not None:
            page.set_status(watch.status)
        cameras = facts.pipeline.cameras
        is_endless = any(camera.is_live for camera in cameras) or all(camera.loop for camera in cameras)
        supervisor = Supervisor(
            lambda on_line: Program(command, at, on_line), patience, watch, sources=len(cameras), is_endless=is_endless
        )
        interrupted = closing.enter_context(stopped_by_signals(supervisor.stop))
        reader = _open_reader(facts, watch, closing)
        closing.enter_context(_looked_after(watch, reader))
        closing.enter_context(stopped_in_time(supervisor.stop, duration_s))
        with service_notices(watch.statistics):
            outcome = supervisor.run()
        if reader is not None:
            _hear_the_rest(watch)
            reader.close()
        watch.finish(supervisor.reason if outcome is Outcome.FAILED else None)
        for sink in sinks:
            sink.close()
    return watch, outcome, interrupted.is_set()


def _hear_the_rest(watch: DeepStreamWatch) -> None:
    """What deepstream-app sent last may still be on its way: wait until nothing has come for a while."""
    until, heard = time.monotonic() + REST_MOST_S, -1
    while heard != watch.messages and time.monotonic() < until:
        heard = watch.messages
        time.sleep(REST_S)


def _open_reader(facts: RenderedFacts, watch: DeepStreamWatch, closing: ExitStack) -> KafkaReader | MqttReader | None:
    """Listen to the messages before deepstream-app sends the first; None where it sends none."""
    from vedette.apps.console import warn

    if facts.messages is None:
        warn("the folder was rendered without a broker: rates are shown, no events are made")
        return None
    if not facts.pipeline.events and _has_rules(facts.pipeline):
        warn("events are kept nowhere: the pipeline's broker holds deepstream-app's own messages; give --events")
    reader = open_reader(facts, watch.take_message)
    closing.callback(reader.close)
    if not reader.listening.wait(LISTEN_S):
        warn(f"{reader.name}: does not answer yet; deepstream-app is started nevertheless, its messages may be missed")
    return reader


def open_reader(facts: RenderedFacts, on_message: Callable[[bytes], None]) -> KafkaReader | MqttReader:
    """What reads the messages of a folder's deepstream-app.

    Raises:
        InputError: a password cannot be read.
    """
    from vedette.apps.pipeline_file import read_secret
    from vedette.edge.messaging.kafka_reader import KafkaReader
    from vedette.edge.messaging.mqtt_reader import MqttReader

    messages = facts.messages
    assert messages is not None
    target = _target(facts)
    password = read_secret(messages.password_file, messages.password_env)
    if target.kind == "kafka":
        return KafkaReader(target, on_message, password)
    return MqttReader(target, on_message, password)


def _target(facts: RenderedFacts) -> KafkaTarget | MqttTarget:
    from vedette.contracts.pipeline import KafkaTarget, MqttTarget

    messages = facts.messages
    assert messages is not None
    if messages.kind == "kafka":
        return KafkaTarget(
            kind="kafka",
            brokers=messages.addresses,
            topic=messages.topic,
            tls=messages.tls,
            username=messages.username,
            mechanism=messages.mechanism,
        )
    return MqttTarget(
        kind="mqtt",
        host=messages.host,
        port=messages.port,
        topic=messages.topic,
        tls=messages.tls,
        username=messages.username,
    )


def _has_rules(pipeline: Pipeline) -> bool:
    return bool(pipeline.lines or pipeline.zones) or any(one.lines or one.zones for one in pipeline.cameras)


@contextmanager
def _looked_after(watch: DeepStreamWatch, reader: KafkaReader | MqttReader | None) -> Iterator[None]:
    """Frames are completed, and a line now and then says how it goes, from a thread of its own."""
    from vedette.apps.beside import working_beside
    from vedette.apps.console import ConsoleProgress
    from vedette.apps.run_progress import describe

    def look(over: threading.Event) -> None:
        looks = 0
        while not over.wait(LOOK_EVERY_S):
            looks += 1
            watch.look(reader is not None and reader.problem is None)
            if looks % round(SAY_EVERY_S / LOOK_EVERY_S) == 0:
                progress.say(describe(watch.statistics(), watch.status().events))

    with ConsoleProgress() as progress, working_beside(look, "vedette-deepstream-look"):
        yield
