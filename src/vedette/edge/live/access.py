"""Who may see the live page beyond this machine: whoever brings the token, or the cookie that it was exchanged for.

A token is checked in a thread of its own, one at a time, and only as often as `sessions.Attempts` allows its sender; a
right one is remembered as a digest, so that Prometheus or a video player, who bring it with every request, cost
nothing. Whoever brings a token instead of a cookie may only read.
"""

import asyncio
import hashlib
import ipaddress
import secrets
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

from vedette.edge.live.sessions import OLDEST_S, Attempts, Session, Sessions, same
from vedette.edge.live.token_file import Scope, TokenFile

MOST_WAITING = 8
MOST_TOKEN_LENGTH = 256


class TooManyAttemptsError(Exception):
    """Try again after `wait_s`."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many attempts; try again in {wait_s:.0f} s")
        self.wait_s = wait_s


class Access:
    """Used by the server's event loop alone; `close` when the server has stopped."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens
        self._sessions = Sessions()
        self._attempts = Attempts()
        self._key = secrets.token_bytes(32)
        self._remembered: dict[Scope, tuple[str, tuple[int, int]]] = {}
        self._waiting = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="vedette-live-tokens")

    async def scope_of(self, token: str, address: str) -> Scope | None:
        """What a token opens, if anything.

        Raises:
            TooManyAttemptsError: this address has tried too often, or too many try at once.
            TokenFileError: the file of tokens has become unreadable.
        """
        if len(token) > MOST_TOKEN_LENGTH:
            return None
        state, digest = self._tokens.state(), hashlib.blake2b(token.encode(), key=self._key).hexdigest()
        for scope, (remembered, of_state) in self._remembered.items():
            if same(digest, remembered) and of_state == state:
                return scope
        sender = network_of(address)
        wait_s = self._attempts.take(sender, time.monotonic())
        if wait_s > 0 or self._waiting >= MOST_WAITING:
            raise TooManyAttemptsError(max(wait_s, 1.0))
        self._waiting += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._worker, self._tokens.check, token)
        finally:
            self._waiting -= 1
        if found is not None:
            self._attempts.forgive(sender)
            self._remembered[found] = (digest, state)
        return found

    async def log_in(self, token: str, address: str) -> str | None:
        """The cookie of a new session; None when this is not the page's token. Raises as `scope_of`."""
        if await self.scope_of(token, address) is not Scope.PAGE:
            return None
        return self._sessions.open(time.monotonic(), self._tokens.state())

    def tokens_made(self) -> tuple[int, int]:
        """Something that changes when a token is made."""
        return self._tokens.state()

    def session(self, cookie: str | None) -> Session | None:
        """The session of a cookie, if it is open."""
        return None if not cookie else self._sessions.find(cookie, time.monotonic(), self._tokens.state())

    def log_out(self, cookie: str) -> None:
        """End a session."""
        self._sessions.close(cookie)

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown(wait=True, cancel_futures=True)


def set_cookie(name: str, value: str, *, secure: bool) -> str:
    """The header that gives a browser its cookie, or takes it away when the value is empty."""
    lasts_s = int(OLDEST_S) if value else 0
    return f"{name}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"


def token_in(authorization: str) -> str | None:
    """The token of `Authorization: Bearer TOKEN`, or of `Basic`, where it is the password."""
    kind, _, rest = authorization.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip()
    if kind.lower() != "basic":
        return None
    try:
        return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    except ValueError:  # no base 64, or no text
        return None


def network_of(address: str) -> str:
    """Whose attempts are counted together: an IPv4 address, or an IPv6 customer's /64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else ip  # as a page on :: sees IPv4
    return str(ipaddress.ip_network((ip, 64), strict=False)) if mapped is None else str(mapped)
