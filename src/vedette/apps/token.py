"""`vedette token new`: another token for the live page, or one for Prometheus that opens /metrics alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def new(
    file: Annotated[
        Path | None, Parameter(help="the file of tokens (default: the one of this user or service)")
    ] = None,
    *,
    metrics: Annotated[bool, Parameter(negative="", help="a token that opens /metrics alone, for Prometheus")] = False,
) -> int:
    """Make a token, print it once, and keep its argon2 hash alone; the one before opens nothing any more.

    Whoever is logged in logs in again. A page that runs needs no restart. For a service: `sudo -u vedette env
    STATE_DIRECTORY=/var/lib/vedette-run vedette token new`.
    """
    from vedette.apps.console import print_line, warn
    from vedette.apps.page_opening import token_path
    from vedette.edge.live.token_file import Scope, TokenFile

    path = token_path(None if file is None else str(file))
    print_line(TokenFile(path).make(Scope.METRICS if metrics else Scope.PAGE))
    warn(f"shown this once; its hash is kept in {path}")
    return 0
