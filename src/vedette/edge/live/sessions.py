"""Who has logged in to the live page, and how often somebody may try. Pure but for its lock: time is passed in.

Sessions live in memory, as digests of their cookies, at most MOST_SESSIONS (the one longest unused makes room), until
they were unused for IDLE_S or are OLDEST_S old. Attempts: a few at once for each address, then one every RETRY_EVERY_S.
"""

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

MOST_SESSIONS = 64
IDLE_S = 24 * 3600.0
OLDEST_S = 30 * 24 * 3600.0
MOST_ATTEMPTS = 5
RETRY_EVERY_S = 12.0
MOST_ADDRESSES = 1024


@dataclass(slots=True)
class Session:
    """One browser. `csrf` is what it must say with everything that changes something."""

    csrf: str
    made_s: float
    used_s: float
    tokens: tuple[int, int]  # the state of the token file that it was opened with


class Sessions:
    """The sessions of one page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_digest: dict[bytes, Session] = {}

    def open(self, now_s: float, tokens: tuple[int, int]) -> str:
        """A new session; what its cookie holds."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_old(now_s)
            while len(self._by_digest) >= MOST_SESSIONS:
                del self._by_digest[min(self._by_digest, key=lambda one: self._by_digest[one].used_s)]
            self._by_digest[_digest(cookie)] = Session(secrets.token_urlsafe(24), now_s, now_s, tokens)
        return cookie

    def find(self, cookie: str, now_s: float, tokens: tuple[int, int]) -> Session | None:
        """The session of a cookie, used now; None when it is over, or a new token was made since."""
        with self._lock:
            self._forget_old(now_s)
            session = self._by_digest.get(_digest(cookie))  # of 256 random bits, digested: times tell nothing
            if session is None or session.tokens != tokens:
                return None
            session.used_s = now_s
            return session

    def close(self, cookie: str) -> None:
        """Log out."""
        with self._lock:
            self._by_digest.pop(_digest(cookie), None)

    def __len__(self) -> int:
        return len(self._by_digest)

    def _forget_old(self, now_s: float) -> None:
        over = [
            digest
            for digest, one in self._by_digest.items()
            if now_s - one.used_s > IDLE_S or now_s - one.made_s > OLDEST_S
        ]
        for digest in over:
            del self._by_digest[digest]


class Attempts:
    """How often each address may try a token: a bucket that fills again slowly."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_address: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (left, when)

    def take(self, address: str, now_s: float) -> float:
        """Count an attempt: 0, or how many seconds to wait for the next."""
        with self._lock:
            left, at_s = self._by_address.pop(address, (float(MOST_ATTEMPTS), now_s))
            left = min(left + (now_s - at_s) / RETRY_EVERY_S, float(MOST_ATTEMPTS))
            allowed = left >= 1.0
            self._by_address[address] = (left - 1.0 if allowed else left, now_s)
            while len(self._by_address) > MOST_ADDRESSES:
                self._by_address.popitem(last=False)
            return 0.0 if allowed else (1.0 - left) * RETRY_EVERY_S

    def forgive(self, address: str) -> None:
        """The token was right."""
        with self._lock:
            self._by_address.pop(address, None)


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
