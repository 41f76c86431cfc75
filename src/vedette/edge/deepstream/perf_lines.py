"""What deepstream-app prints, line by line: rates of its sources, good or bad ends, warnings. Pure.

`**PERF:  FPS 0 (Avg)\t...` is a heading, repeated every 20 lines; `**PERF:  30.02 (30.01)\t...` are the rates of every
source, now and on average (`PERF(0): ...` where several configurations run). The first rates are 0.00. A line that was
cut, or is glued to another, gives no rates: a number is never guessed.
Source: deepstream-app 9.1, deepstream_app_main.c.
"""

import re
from dataclasses import dataclass
from enum import Enum

MOST_SHOWN = 400
_PERF = re.compile(r"(?:\*\*PERF|\*{0,2}PERF\((?P<instance>\d{1,4})\)) ?:[ \t]*(?P<rates>.*)", re.DOTALL)
_RATE = re.compile(r"(\d{1,7}\.\d{1,6}|-?nan|inf) \((\d{1,7}\.\d{1,6}|-?nan|inf)\)")
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class LineKind(Enum):
    """What a line is; `WARNING` and `ERROR` are worth telling a person."""

    RATES = "rates"
    HEADING = "heading"
    BROKEN = "broken"  # a PERF line of which not every number can be read
    SUCCESS = "success"
    FAILURE = "failure"
    WARNING = "warning"
    ERROR = "error"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class AppLine:
    """One line. `rates_fps` are those of now, by source; `text` is fit for a terminal."""

    kind: LineKind
    text: str
    rates_fps: tuple[float, ...] = ()
    instance: int = 0


def read_line(raw: bytes) -> AppLine:
    """Say what one line of output is; any bytes will do."""
    text = _UNPRINTABLE.sub("", raw.decode("utf-8", errors="replace").replace("\t", " \t")).rstrip()
    perf = _PERF.search(text)
    if perf is not None:
        return _perf_line(text, perf["rates"].strip(), int(perf["instance"] or 0))
    text = text.replace(" \t", " ").strip()[:MOST_SHOWN]
    if text == "App run successful":
        return AppLine(LineKind.SUCCESS, text)
    if text == "App run failed":
        return AppLine(LineKind.FAILURE, text)
    if "Unknown key '" in text or re.search(r"\bWARNING\b", text):
        return AppLine(LineKind.WARNING, text)
    return AppLine(LineKind.ERROR if re.search(r"\bERROR\b", text) else LineKind.OTHER, text)


def _perf_line(text: str, rates: str, instance: int) -> AppLine:
    shown = text.replace(" \t", " ")[:MOST_SHOWN]
    matches = [_RATE.fullmatch(part.strip()) for part in rates.split("\t") if part.strip()]
    if matches and all(matches):
        numbers = tuple(_number(match[1]) for match in matches if match is not None)
        return AppLine(LineKind.RATES, shown, numbers, instance)
    return AppLine(LineKind.HEADING if re.match(r"FPS[ _]\d", rates) else LineKind.BROKEN, shown)


def _number(text: str) -> float:
    """Neither `nan` nor `inf`, which a division by no time gives, is a rate."""
    return float(text) if text[0].isdigit() else 0.0
