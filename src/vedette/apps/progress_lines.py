"""A line of progress as `console.ConsoleProgress` writes it into logs, read back: for the bar of a job elsewhere."""

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<stage>\S.{0,80}?): (?P<done>[0-9]{1,12})/(?P<total>[0-9]{1,12}) (?P<unit>[a-z]{1,20}), "
    r"(?P<rate>[0-9.]{1,20})/s(?:, [0-9hmins ]{1,20} left| in (?P<spent>[0-9hmins ]{1,20}))?"
    r"(?P<figures>(?:, [a-z0-9_-]{1,40} [-+.0-9einfa]{1,20}){0,20})"
)
_SPENT = re.compile(r"(?:(?P<h>[0-9]+) h )?(?:(?P<min>[0-9]+) min ?)?(?:(?P<s>[0-9]+) s)?")


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """How far a stage was when the line was written."""

    stage: str
    done: int
    total: int
    unit: str
    spent_s: float
    figures: dict[str, float]
    text: str


def read_progress_line(text: str) -> ProgressLine | None:
    """What a line says; None when it is another one."""
    found = _LINE.fullmatch(text)
    if found is None or int(found["done"]) > int(found["total"]):
        return None
    try:
        rate = float(found["rate"])
        figures = {
            name: float(value)
            for name, _, value in (part.partition(" ") for part in found["figures"].split(", ") if part)
        }
    except ValueError:
        return None
    done = int(found["done"])
    spent_s = done / rate if rate > 0 else _seconds(found["spent"] or "")
    return ProgressLine(found["stage"], done, int(found["total"]), found["unit"], spent_s, figures, text)


def _seconds(clock: str) -> float:
    found = _SPENT.fullmatch(clock)
    parts = {"h": 3600, "min": 60, "s": 1}
    return 0.0 if found is None else float(sum(int(found[name] or 0) * factor for name, factor in parts.items()))
