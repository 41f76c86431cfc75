"""Wires the cameras' own video: from the packet taps to the page, HLS, clips and a media server.

Nothing of it is there when nobody asks for any; with a page alone, packets flow only while somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import InputError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from vedette.contracts.pipeline import Pipeline
    from vedette.edge.live.clips import Clips
    from vedette.edge.live.publishing import Publishing
    from vedette.edge.live.video_store import VideoStore
    from vedette.edge.stream.packet_taps import PacketTaps

BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True)
class VideoParts:
    """What a run needs of it."""

    taps: PacketTaps
    store: VideoStore
    routes: Sequence[BaseRoute] = ()
    clips: Clips | None = None
    publishing: Publishing | None = None


@contextmanager
def opened_video(settings: Pipeline) -> Iterator[VideoParts | None]:
    """None where nobody wants the cameras' packets.

    Raises:
        RecordingFolderError: the folder for clips cannot be used.
        InputError: a password's file or variable is missing, or who vouches for a server cannot be read.
    """
    if settings.show is None and settings.clips is None and settings.publish is None:
        yield None
        return
    from vedette.edge.live.video_store import VideoStore
    from vedette.edge.stream.packet_taps import PacketTaps

    cameras = [camera.name for camera in settings.cameras]
    store = VideoStore(cameras)
    taps = PacketTaps(store)
    store.wish_by(taps.want)
    with ExitStack() as closing:
        closing.callback(store.close)
        clips = _open_clips(settings, store, cameras, closing)
        publishing = _open_publishing(settings, store, cameras, closing)
        routes: Sequence[BaseRoute] = ()
        if settings.show is not None:
            from vedette.edge.live.clip_routes import clip_routes
            from vedette.edge.live.video_routes import VideoRoutes

            # A file that is read as fast as the machine can is nothing to be played: pictures of it are shown
            served = VideoRoutes(store, [one.name for one in settings.cameras if one.is_live or one.realtime])
            closing.callback(served.close)
            routes = [*served.routes, *(clip_routes(clips.shelf) if clips is not None else ())]
        yield VideoParts(taps, store, routes, clips, publishing)


def _open_clips(settings: Pipeline, store: VideoStore, cameras: Sequence[str], closing: ExitStack) -> Clips | None:
    wanted = settings.clips
    if wanted is None:
        return None
    from vedette.edge.live.clips import ClipQuota, Clips

    most_bytes = None if wanted.most_gb is None else round(wanted.most_gb * BYTES_PER_GB)
    quota = ClipQuota(most_bytes, wanted.most_days)
    seconds = {"before_s": wanted.before_s, "after_s": wanted.after_s}
    clips = Clips(Path(wanted.folder), store, cameras, quota=quota, **seconds)
    closing.callback(clips.close)
    return clips


def _open_publishing(
    settings: Pipeline, store: VideoStore, cameras: Sequence[str], closing: ExitStack
) -> Publishing | None:
    wanted = settings.publish
    if wanted is None:
        return None
    from vedette.apps.console import warn
    from vedette.apps.pipeline_file import read_secret
    from vedette.edge.live.publishing import Publishing, PublishTarget
    from vedette.edge.live.server_trust import check_ca_file

    password = read_secret(wanted.password_file, wanted.password_env)
    if wanted.ca_file is not None:
        try:
            check_ca_file(wanted.ca_file)
        except ValueError as error:
            raise InputError(f"publish.ca_file: {error}") from error
    target = PublishTarget(wanted.url, wanted.username, password, wanted.ca_file)
    publishing = Publishing(store, cameras, target, say=warn)
    closing.callback(publishing.close)
    return publishing
