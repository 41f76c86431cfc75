"""`2026-11-01`, `2026-11-01T08:00`, `today`, `yesterday`, `12h`, `7d` on a command line: a moment in the past."""

import re
from datetime import datetime, time, timedelta

from vedette.contracts.errors import UsageError

_AGO_S = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DAYS_AGO = {"today": 0, "yesterday": 1}


def parse_moment(text: str, now_unix_s: float, flag: str, *, whole_day: bool = False) -> float:
    """Unix seconds; times without an offset are this machine's. With `whole_day` a day means its end.

    Raises:
        UsageError: it is no moment.
    """
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if ago is not None:
        return now_unix_s - int(ago.group(1)) * _AGO_S[ago.group(2)]
    try:
        if text in _DAYS_AGO:
            day = datetime.fromtimestamp(now_unix_s).date() - timedelta(days=_DAYS_AGO[text])
        elif re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = datetime.fromisoformat(text).date()
        else:
            return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text)).timestamp()
        return datetime.combine(day + timedelta(days=int(whole_day)), time()).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{flag} {text}: write a day (2026-11-01), a time (2026-11-01T08:00), today, yesterday, or how long ago "
            "(45m, 12h, 7d, 2w)"
        ) from error
