"""`vedette counts`: what was counted so far, from the file that `vedette run` keeps; also while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.edge.counting.sums import CountSum

COLUMNS = ["camera", "line or zone", "class", "what", "count", "mean stay"]


def counts(
    file: Annotated[
        Path | None, Parameter(help="the file of counts (default: the one of this user or service)")
    ] = None,
    *,
    camera: Annotated[str | None, Parameter(help="of this camera alone")] = None,
    line: Annotated[str | None, Parameter(help="of this line or zone alone")] = None,
    since: Annotated[
        str | None, Parameter(help="from then on: 2026-11-01, 2026-11-01T08:00, today, yesterday, or 12h, 7d ago")
    ] = None,
    until: Annotated[str | None, Parameter(help="up to then; a day is taken whole")] = None,
    by: Annotated[Literal["hour", "day"] | None, Parameter(help="one row for each hour or day of this box")] = None,
    csv: Annotated[bool, Parameter(negative="", help="print CSV")] = False,
    json: Annotated[bool, Parameter(negative="", help="print one JSON document")] = False,
) -> int:
    """Print what was counted, by camera, line or zone, class and direction; with --by also by hour or day.

    Counts are kept by quarters of an hour, so --since and --until are taken to the quarter. Directions are `a_to_b` (in
    the direction of the line's arrow) and `b_to_a`; zones have `entered`, `exited` and `dwelled`, and the mean time
    that those which left had stayed. Hours and days are those of this box's time zone (set TZ for another).
    """
    import time

    from vedette.apps.console import print_json, print_line
    from vedette.apps.kept_counts import FILE_NAME
    from vedette.apps.moments import parse_moment
    from vedette.apps.state_folder import state_folder
    from vedette.edge.counting.store import CountsStore
    from vedette.edge.counting.sums import sum_rows

    if csv and json:
        raise UsageError("give --csv or --json, not both")
    now = time.time()
    begin = None if since is None else parse_moment(since, now, "--since")
    end = None if until is None else parse_moment(until, now, "--until", whole_day=True)
    if begin is not None and end is not None and begin >= end:
        raise UsageError(f"--since {since} is not before --until {until}")
    path = state_folder() / FILE_NAME if file is None else file
    with CountsStore(path, make=False) as store:
        sums = sum_rows(store.rows(camera, line, begin, end), by)
        first = store.since_unix_s
    if json:
        print_json({"file": str(path), "since": _time(first), "counts": [one.to_json() for one in sums]})
    elif csv:
        _print_csv(sums)
    elif sums:
        _print_table(sums, by, f"Counts since {_time(first)}")
    else:
        print_line("nothing was counted" + (" there and then" if camera or line or since or until else " yet"))
    return 0


def _print_table(sums: list[CountSum], by: str | None, title: str) -> None:
    from vedette.apps.console import print_table

    rows = [[one.camera, one.place, one.class_name, one.what, str(one.count), _stay(one.mean_stay_s)] for one in sums]
    columns = COLUMNS
    if not any(one.mean_stay_s is not None for one in sums):
        columns, rows = COLUMNS[:-1], [row[:-1] for row in rows]
    if by is not None:
        rows = [[_label(one, by), *row] for one, row in zip(sums, rows, strict=True)]
    print_table(title, [*([by] if by else []), *columns], rows)


def _print_csv(sums: list[CountSum]) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["since", "camera", "kind", "name", "class", "what", "count", "mean_stay_s"])
    for one in sums:
        document = one.to_json()
        writer.writerow(["" if value is None else value for value in document.values()])


def _label(one: CountSum, by: str) -> str:
    return (one.since or "")[:10] if by == "day" else (one.since or "")[:16].replace("T", " ")


def _stay(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _time(unix_s: int | None) -> str | None:
    from datetime import datetime

    return None if unix_s is None else datetime.fromtimestamp(unix_s).astimezone().isoformat(timespec="minutes")
