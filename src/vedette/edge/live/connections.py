"""Who may hold a connection to the page, and for how long without saying anything.

Guarantees: a request must have arrived whole PATIENCE_S after its connection was made (TLS included) or the answer
before it was given: whoever opens connections and says nothing, or spells a header letter by letter, loses them. Of
MOST_CONNECTIONS places one address (an IPv6 customer's /64) takes MOST_OF_ONE at most. When they are taken, a newcomer
gets the place of whoever has said nothing for longest, of the address that holds most of them: somebody silent never
keeps a person out. Only where all others are being answered is the newcomer turned away.

TLS begins here and not in uvicorn, so that those who do not even shake hands are counted, too.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vedette.edge.live.access import network_of

MOST_CONNECTIONS = 128
MOST_OF_ONE = 64
PATIENCE_S = 15.0
LOOK_AGAIN_S = 0.5  # whether an answer has been taken in
UNHEARD_S = 30.0  # of an answer that nobody takes in, such as a laptop's that fell asleep
_LOG = logging.getLogger(__name__)  # of what strangers send, only what is our own fault is worth a line


class Visitor(Protocol):
    """Who holds a place. `waits_since_s` is None while it is being answered."""

    network: str
    waits_since_s: float | None

    def turn_out(self) -> None: ...


class Places:
    """The places of one page; used by its event loop alone."""

    def __init__(self, most: int = MOST_CONNECTIONS, most_of_one: int = MOST_OF_ONE) -> None:
        self.most, self.most_of_one = most, most_of_one
        self.turned_out = 0
        self._taken: set[Visitor] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def enter(self, visitor: Visitor) -> bool:
        """Take a place, somebody silent's where there is none; false where all others are being answered."""
        held = Counter(one.network for one in self._taken)
        if held[visitor.network] >= self.most_of_one:
            candidates = {one for one in self._taken if one.network == visitor.network}
        else:
            candidates = self._taken if len(self._taken) >= self.most else set()
        if candidates:
            silent = [
                (-held[one.network], one.waits_since_s, one) for one in candidates if one.waits_since_s is not None
            ]
            self.turned_out += 1
            if not silent:
                return False
            longest = min(silent, key=lambda entry: entry[:2])[2]
            self.leave(longest)
            longest.turn_out()
        self._taken.add(visitor)
        return True

    def leave(self, visitor: Visitor) -> None:
        """Whether or not it has one."""
        self._taken.discard(visitor)

    def turn_out_the_silent(self) -> None:
        """Before the page closes: it would wait for those who shake hands."""
        self._turn_out([one for one in self._taken if one.waits_since_s is not None])

    def turn_out_everybody(self) -> None:
        """When the page has closed: who came at the last moment, or is still being answered."""
        self._turn_out(list(self._taken))

    def _turn_out(self, visitors: Sequence[Visitor]) -> None:
        for one in visitors:
            self.leave(one)
            one.turn_out()


class PageProtocol(H11Protocol):
    """One connection. `protocol_for` makes the class that uvicorn is given."""

    places: Places
    tls: ssl.SSLContext | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _LOG  # with the program's other words; uvicorn's has no handler here
        self.network = ""
        self.waits_since_s: float | None = None
        self._line: asyncio.Transport | None = None
        self._lines: list[asyncio.Transport] = []  # below TLS, and TLS; each has a buffer of its own
        self._is_open = False
        self._early = b""
        self._patience: asyncio.TimerHandle | None = None
        self._greeting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        self._line = transport
        self._lines = [transport]
        peer = transport.get_extra_info("peername")
        self.network = network_of(peer[0]) if peer else ""
        if not self.places.enter(self):
            transport.abort()
            return
        _give_up_on_the_unheard(transport)
        self._wait()
        if self.tls is None:
            self._open(transport)
        else:
            self._greeting = self.loop.create_task(self._greet(transport, self.tls))

    def data_received(self, data: bytes) -> None:
        if not self._is_open:  # it came with the last word of the hand-shake
            self._early += data
            return
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """A body that breaks off in the middle: whoever answers the request must not answer, too."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.turn_out()
                return
        super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._is_open:
            super().connection_lost(exc)

    def turn_out(self) -> None:
        """End it at once: who says nothing need not be waited for."""
        self._leave()
        if self._line is not None:
            self._line.abort()

    async def _greet(self, line: asyncio.Transport, tls: ssl.SSLContext) -> None:
        try:
            transport = await self.loop.start_tls(line, self, tls, server_side=True, ssl_handshake_timeout=PATIENCE_S)
        except OSError:  # no TLS, or none that we speak, or gone
            self.turn_out()
            return
        if transport is None or transport.is_closing():
            self.turn_out()
            return
        self._line = transport
        self._lines.append(transport)
        self._open(transport)
        if self._early:
            early, self._early = self._early, b""
            super().data_received(early)

    def _open(self, transport: asyncio.Transport) -> None:
        self._is_open = True
        super().connection_made(transport)

    def _look(self) -> None:
        """Whether it is its turn to say something."""
        asks = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if any(line.get_write_buffer_size() for line in self._lines):  # an answer is on its way
            self._no_longer_wait()
            self._patience = self.loop.call_later(LOOK_AGAIN_S, self._look)
        elif asks or self.cycle is None or self.cycle.response_complete:
            if self.waits_since_s is None:
                self._wait()
        else:
            self._no_longer_wait()

    def _wait(self) -> None:
        self.waits_since_s = self.loop.time()
        self._patience = self.loop.call_later(PATIENCE_S, self.turn_out)

    def _no_longer_wait(self) -> None:
        self.waits_since_s = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _leave(self) -> None:
        self.places.leave(self)
        self._no_longer_wait()


class PageServer(uvicorn.Server):
    """uvicorn's, which leaves connections open behind it when its grace is over; this one does not."""

    def __init__(self, config: uvicorn.Config, places: Places) -> None:
        super().__init__(config)
        self._places = places

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._places.turn_out_the_silent()
        await super().shutdown(sockets)
        self._places.turn_out_everybody()
        await asyncio.sleep(0)  # connections end in the loop's next round


def protocol_for(places_: Places, tls_: ssl.SSLContext | None) -> type[PageProtocol]:
    """What `uvicorn.Config(http=...)` takes; it makes one for each connection."""
    _LOG.setLevel(logging.ERROR)

    class Connection(PageProtocol):
        places = places_
        tls = tls_

    return Connection


def _give_up_on_the_unheard(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux
    if connection is not None and option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, round(UNHEARD_S * 1000))
