"""Opens the live page as a pipeline asks for it: beyond this machine with its token, and over TLS where that is set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from vedette.contracts.pipeline import Show
    from vedette.edge.live.certificate import Certificate
    from vedette.edge.live.page import LivePage

TOKEN_FILE = "page-tokens.json"


def open_live_page(show: Show, routes: Sequence[BaseRoute] = ()) -> LivePage:
    """Serve; at the first start beyond this machine a token is made, and shown this once.

    Raises:
        PageUnavailableError, TokenFileError, CertificateError: it cannot be served like that; says why.
    """
    from vedette.apps.console import warn
    from vedette.edge.live.page import LivePage
    from vedette.edge.live.token_file import Scope, TokenFile

    certificate = _certificate(show)
    tokens = TokenFile(token_path(show.token_file))
    page = LivePage(show.host, show.port, tokens=tokens, tls=certificate, routes=routes)
    if page.is_loopback:
        return page
    try:
        if not tokens.has(Scope.PAGE):
            warn(f"the page's token, shown this once: {tokens.make(Scope.PAGE)}")
    except BaseException:
        page.close()
        raise
    if certificate is None:
        warn(
            "the page is served without TLS: whoever can listen on the network sees the token and the pictures; "
            "give --tls, or `show: {tls: ...}`"
        )
    return page


def token_path(given: str | None) -> Path:
    """Where the hashes of the tokens are kept."""
    from vedette.apps.state_folder import state_folder

    return state_folder() / TOKEN_FILE if given is None else Path(given)


def _certificate(show: Show) -> Certificate | None:
    import socket

    from vedette.apps.console import warn
    from vedette.apps.state_folder import state_folder
    from vedette.contracts.pipeline import Tls
    from vedette.edge.live.certificate import Certificate, fingerprint, make_self_signed

    if show.tls is None:
        return None
    if isinstance(show.tls, Tls):
        return Certificate(show.tls.cert, show.tls.key)
    made = make_self_signed(state_folder(), socket.gethostname())
    warn(f"the page's certificate signs itself; its SHA-256 fingerprint: {fingerprint(made)}")
    return made
