"""The live page: one object that the pipeline shows frames to, and a server in a thread of its own behind it.

Guarantees: `show` and `add_event` return at once and never wait for a viewer; the address is taken in the constructor,
so a port in use is known before any work starts; `close` returns within about a second whoever still looks. Binds to
loopback unless a host is given; beyond loopback everybody logs in with the token of a `TokenFile`.
"""

import contextlib
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from starlette.routing import BaseRoute

from vedette.contracts.detections import Tracks
from vedette.contracts.event import Event
from vedette.contracts.frame import FrameStamp
from vedette.contracts.ports import FullPicture
from vedette.contracts.status import Status
from vedette.edge.live.access import Access
from vedette.edge.live.certificate import Certificate, check_certificate
from vedette.edge.live.connections import PageServer, Places, protocol_for
from vedette.edge.live.errors import PageUnavailableError
from vedette.edge.live.feed import Feed
from vedette.edge.live.insight_routes import Insight
from vedette.edge.live.routes import Routes
from vedette.edge.live.rules_routes import Desk
from vedette.edge.live.snapshots import SnapshotStore
from vedette.edge.live.stages import Series, StageBoard, StageProgress, StageState
from vedette.edge.live.token_file import TokenFile

START_TIMEOUT_S = 10.0
_LOG = logging.getLogger(__name__)


class LivePage:
    """`contracts.ports.View` with events and stages. Use as a context manager, or call `close`."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        status: Callable[[], Status] | None = None,
        tokens: TokenFile | None = None,
        tls: Certificate | None = None,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        """Take the address (port 0 takes a free one) and serve; `routes` are further ones, guarded like its own.

        Raises:
            PageUnavailableError: when the address is in use or not this machine's.
            CertificateError: when the certificate cannot be used.
            ValueError: when the page would show itself beyond this machine without `tokens`.
        """
        over_tls = None if tls is None else check_certificate(tls)
        self.places = Places()
        self._socket = _listen(host, port)
        address, self.port = self._socket.getsockname()[:2]
        self.is_loopback = ipaddress.ip_address(address).is_loopback
        if not self.is_loopback and tokens is None:
            self._socket.close()
            raise ValueError("a page beyond this machine needs tokens")
        self.url = f"http{'' if tls is None else 's'}://{_address_for_people(address)}:{self.port}/"
        self._snapshots = SnapshotStore()
        self._stages = StageBoard()
        self._feed = Feed(self._snapshots, self._stages)
        if status is not None:
            self._feed.ask_from_now_on(status)
        self._workers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vedette-live-pictures")
        self._access = None if self.is_loopback or tokens is None else Access(tokens)
        self._routes = Routes(
            self._feed,
            self._workers,
            access=self._access,
            cookie_name=f"vedette_{self.port}",  # cookies are of a host, whatever the port
            over_tls=tls is not None,
            more=routes,
        )
        self._server = PageServer(
            uvicorn.Config(
                self._routes.application,
                loop="asyncio",
                http=protocol_for(self.places, over_tls),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody says by a header where a request came from
                timeout_graceful_shutdown=1,
            ),
            self.places,
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="vedette-live", daemon=True
        )
        self._thread.start()
        self._wait_until_it_answers()

    @property
    def pictures_made(self) -> int:
        """How many pictures have been converted so far; none while nobody looks."""
        return self._snapshots.pictures_made

    def set_status(self, status: Callable[[], Status]) -> None:
        """Where the page asks how the run is doing, at most twice a second, from a thread of its own."""
        self._feed.ask_from_now_on(status)

    def set_rules(self, desk: Desk) -> None:
        """Where the lines and zones are that a viewer may draw."""
        self._routes.rules.desk = desk

    def set_insight(self, insight: Insight) -> None:
        """Where counts over time, heat and the times of stages are asked."""
        self._routes.insight.insight = insight

    @contextlib.contextmanager
    def serving(self, routes: Sequence[BaseRoute]) -> Iterator[None]:
        """With further routes for a while, guarded like its own: for a page that is there before its cameras are."""
        self._routes.serve(routes)
        try:
            yield
        finally:
            self._routes.serve_no_longer(routes)

    def show(self, stamp: FrameStamp, picture: FullPicture, tracks: Tracks, counts: Mapping[str, int]) -> None:
        """Remember a camera's newest frame; it is converted when somebody asks for it."""
        self._snapshots.put(stamp, picture, tracks, counts)

    def wants(self, camera: str) -> bool:
        """While somebody looks, every picture; else one a second, so that whoever comes sees the present."""
        return self._snapshots.wants(camera)

    def add_event(self, event: Event) -> None:
        """Put an event at the top of the list."""
        self._feed.add_event(event)

    def plan_stages(self, titles: Sequence[str]) -> None:
        """Announce the stages to come, in order."""
        self._stages.plan(titles)

    def set_stage(  # one keyword for each thing on the card
        self,
        title: str,
        *,
        progress: float | None = None,
        state: StageState = StageState.RUNNING,
        note: str | None = None,
        lines: Sequence[str] | None = None,
        pictures: Mapping[str, bytes] | None = None,
        series: Sequence[Series] | None = None,
    ) -> None:
        """Set what is given of a stage; what is left out stays. A stage that starts running ends the one before."""
        self._stages.update(
            title, progress=progress, state=state, note=note, lines=lines, pictures=pictures, series=series
        )

    def finish_stages(self) -> None:
        """What ran is done."""
        self._stages.finish()

    def stage_progress(self, title: str) -> StageProgress:
        """A `contracts.ports.Progress` that draws itself as a stage."""
        return StageProgress(self._stages, title)

    def close(self) -> None:
        """Stop serving. Safe to call twice."""
        self._routes.closing = True
        self._server.should_exit = True
        self._thread.join(timeout=3.0)
        if self._thread.is_alive():
            _LOG.warning("the live page did not stop within 3 s; it ends with the process")
        self._workers.shutdown(wait=True, cancel_futures=True)
        if self._access is not None:
            self._access.close()
        with contextlib.suppress(OSError):  # uvicorn has closed it already, as a rule
            self._socket.close()

    def __enter__(self) -> "LivePage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.close()
                raise PageUnavailableError(f"the live page did not start at {self.url} within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.005)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, or one sentence about why not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise PageUnavailableError(f"live page: '{host}' is no address of this machine ({error})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PageUnavailableError(
            f"live page: cannot listen on {host}:{port}: {error.strerror}; give another port, or 0 to take a free one"
        ) from error
    return listener


def _address_for_people(address: str) -> str:
    """What to type into a browser: this machine's name where the page listens everywhere."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return socket.gethostname()
    return f"[{address}]" if ip.version == 6 else address
