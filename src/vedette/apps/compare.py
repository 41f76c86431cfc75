"""`vedette compare`: training runs, folds of runs or evaluations against each other, in the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.learn.training.comparison.comparing import Comparison, Difference

SETTINGS_SHOWN = 25


def compare(
    first: Path,
    /,
    *others: Path,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Compare training runs: `vedette compare RUN RUN`. The first is what the others are set against.

    Takes what `vedette train --out` leaves (also with --folds, or while it trains) and what `vedette evaluate --out`
    leaves. Figures are compared on the pictures and classes that all have in common, with a 95 % interval from drawing
    those pictures anew; what cannot be compared is said.

    Parameters
    ----------
    first
        Folder of a run or an evaluation.
    others
        Those to set against it, one to five.
    out
        Write a page there, one HTML file with curves, tables and pictures.
    json
        Print the comparison as JSON.
    """
    if not others:
        raise UsageError("give two folders or more: vedette compare RUN RUN")
    if out is not None and (out.suffix.lower() not in {".html", ".htm"} or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out {out}: give an HTML file in a folder that exists, such as comparison.html")

    from vedette.apps.console import print_json, print_line
    from vedette.contracts.errors import InputError
    from vedette.learn.training.comparison.comparing import compare as compare_folders
    from vedette.learn.training.comparison.page import write_comparison

    found = compare_folders([first, *others])
    if out is not None:
        try:
            write_comparison(found, out)
        except OSError as error:
            raise InputError(f"--out {out} cannot be written: {error.strerror or error}") from error
    if json:
        print_json(found.to_json())
        return 0
    _print(found)
    if out is not None:
        print_line(f"page: {out}")
    return 0


def _print(found: Comparison) -> None:
    from vedette.apps.console import print_line, print_table

    for note in found.notes:
        print_line(f"note: {note}")
    labels = list(found.labels)
    shown = list(found.settings.items())[:SETTINGS_SHOWN]
    if shown:
        rows = [[key, *("–" if value is None else str(value) for value in values)] for key, values in shown]
        print_table("settings that differ", ["setting", *labels], rows)
    if len(found.settings) > SETTINGS_SHOWN:
        print_line(f"and {len(found.settings) - SETTINGS_SHOWN} more settings; --out and --json have them all")
    _print_own(found)
    if found.ground is None:
        return
    ground = found.ground
    title = f"on the same {len(ground.sides[0])} pictures, {ground.evaluations[0].objects} objects"
    _print_differences(title, labels, ground.means)
    _print_differences("AP50 of classes", labels, ground.classes)
    rows = [[row.name, *(_rate(value) for value in row.values)] for row in ground.sizes]
    print_table("mAP50 by size", ["size", *labels], rows)
    errors = ground.to_json()["errors"]
    print_table("errors", ["kind", *labels], [[kind, *map(str, counts)] for kind, counts in errors.items()])
    print_line("* the 95 % interval of the difference, from drawing the pictures anew, leaves out 0")


def _print_own(found: Comparison) -> None:
    from vedette.apps.console import clock, print_table
    from vedette.learn.training.comparison.comparing import times

    all_times = [times(side) for side in found.compared]
    rows = [
        [f"{name}, its own pictures", *(_rate(side.figures.get(key)) for side in found.compared)]
        for key, name in (("map50", "mAP50"), ("map50_95", "mAP50-95"))
    ]
    for key, name in (("epochs", "epochs"), ("best_epoch", "best epoch"), ("training_pictures_per_s", "pictures/s")):
        rows.append([name, *("–" if t[key] is None else str(t[key]) for t in all_times)])
    for key, name in (("time_s", "time"), ("time_to_best_s", "time to the best epoch")):
        rows.append([name, *("–" if t[key] is None else clock(t[key]) for t in all_times)])
    print_table("each on its own", ["", *found.labels], rows)


def _print_differences(title: str, labels: list[str], differences: Sequence[Difference]) -> None:
    from vedette.apps.console import print_table

    columns = ["", labels[0]]
    for label in labels[1:]:
        columns += [label, "change", "95 % interval"]
    rows = []
    for row in differences:
        cells = [row.name, _rate(row.values[0])]
        for side in range(1, len(labels)):
            change, found = row.change(side), row.intervals[side - 1]
            star = " *" if row.is_clear(side) else ""
            cells.append(_rate(row.values[side]))
            cells.append("–" if change is None else f"{change:+.3f}{star}")
            cells.append("" if found is None else f"{found[0]:+.3f} to {found[1]:+.3f}")
        rows.append(cells)
    print_table(title, columns, rows)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
