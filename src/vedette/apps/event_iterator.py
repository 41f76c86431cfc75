"""`vedette.watch`: a run whose events a program reads in a loop.

The run goes on in a thread of its own and waits when the reader is behind, so that nothing is lost. Leaving the loop
stops the cameras; what goes wrong in the run is raised in the loop.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from vedette.apps.pipeline_file import read_pipeline
from vedette.apps.run import build_watch, open_page, open_pipeline_detector, start_spawner
from vedette.apps.watching import Watch
from vedette.contracts.errors import UnavailableError
from vedette.contracts.event import AnyEvent, Event
from vedette.contracts.pipeline import Pipeline

QUEUE_LENGTH = 256
_LOOK_AGAIN_S = 0.2


class _QueueSink:
    """`contracts.ports.EventSink` that waits while the reader is behind, until the reader has left."""

    name = "watch()"
    lost = 0

    def __init__(self) -> None:
        self.waiting: queue.Queue[Event | BaseException | None] = queue.Queue(QUEUE_LENGTH)
        self.left = threading.Event()
        self.published = 0

    def publish(self, event: AnyEvent) -> None:
        if isinstance(event, Event):  # what the loop is about: things seen; of recordings the log tells
            self.published += 1
            self.put(event)

    def put(self, item: Event | BaseException | None) -> None:
        while not self.left.is_set():
            try:
                self.waiting.put(item, timeout=_LOOK_AGAIN_S)
            except queue.Full:
                continue
            break

    def close(self) -> None:
        """The end of the run is put by whoever ran it."""


def watch_pipeline(pipeline: str | Path | Pipeline) -> Iterator[Event]:
    """Events as they happen; see `vedette.watch`."""
    settings = pipeline if isinstance(pipeline, Pipeline) else read_pipeline(Path(pipeline))
    with ExitStack() as closing:
        spawner = closing.enter_context(start_spawner(settings))
        opened, detector = open_pipeline_detector(settings)
        page = open_page(settings)
        if page is not None:
            closing.callback(page.close)
        sink = _QueueSink()
        watch = build_watch(settings, opened, detector, page, sinks=[sink], spawner=spawner)
        thread = threading.Thread(target=_run, args=(watch, sink), name="vedette-watch", daemon=True)
        thread.start()
        try:
            while isinstance(item := sink.waiting.get(), Event):
                yield item
            if item is not None:
                raise item
        finally:
            sink.left.set()
            watch.stop()
            thread.join()


def _run(watch: Watch, sink: _QueueSink) -> None:
    """The thread's work: run, then hand over how it ended."""
    try:
        summary = watch.run()
    except BaseException as error:  # noqa: BLE001 - raised again by the reader's thread
        sink.put(error)
        return
    failed = UnavailableError("; ".join(entry["message"] for entry in summary.errors)) if summary.all_failed else None
    sink.put(failed)
