"""`200s`, `15m`, `1.5h` on a command line."""

import re

from vedette.contracts.errors import UsageError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def parse_duration(text: str) -> float:
    """Seconds, from a number with s, m or h behind it (seconds without).

    Raises:
        UsageError: when it is no duration above 0.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if match is None or float(match.group(1)) <= 0:
        raise UsageError(f"'{text}' is no duration; write for example 90s, 15m or 2h")
    return float(match.group(1)) * _SECONDS[match.group(2)]
