"""Tables of docs/reference/streams.md, made from the records in benchmarks/results; none is written by hand.

python -m benchmarks.streams_tables
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.marked_page import DOCS, fill

RESULTS = Path(__file__).parent / "results"
PAGE = DOCS / "reference" / "streams.md"
END = "<!-- end of table -->"


def write(name: str, page: Path = PAGE) -> None:
    """Put the table of one record into the page."""
    fill(page, begin(name), END, as_markdown(name))


def begin(name: str) -> str:
    """The line before a table."""
    return f"<!-- {name}: made by `python -m benchmarks.streams_tables` -->"


def as_markdown(name: str) -> str:
    """The table of one record."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return f"Nothing is recorded yet: `python -m benchmarks {name}`."
    return TABLES[name](json.loads(path.read_text(encoding="utf-8")))


def realtime(document: dict[str, Any]) -> str:
    """Cameras in real time, by row."""
    titles = ["what", "input", "seconds", "cameras", "floor, frames/s", "share of the floor", "slots missed"]
    titles += ["after capture: p50, p95", "processors busy", "memory", "measured"]
    rows = [_realtime_row(row, row if "commit" in row else document) for row in document["figures"].values()]
    return f"{table(titles, rows)}\n\n{_where(document)}"


def _realtime_row(row: dict[str, Any], told: dict[str, Any]) -> list[str]:
    kind = "event" if row["events"] else "detection"
    latency = row[f"{kind}_latency_ms"]
    missed, limits = row["missed_slots"], row["limits"]
    late = latency is None or latency["p95"] >= limits["event_latency_p95_ms"]
    return [
        row.get("what", "drawn belts"),
        row["size"],
        f"{row['seconds']:.0f}",
        str(row["cameras"]),
        f"{row['floor_frames_per_s']:.0f}",
        f"{row['share_of_floor']:.2f}",
        f"{missed} of {row['slots']}{_cross(row['missed_slots_share'] >= limits['missed_slots_share'])}",
        "no detections ✗" if latency is None else f"{kind}: {latency['p50']}, {latency['p95']} ms{_cross(late)}",
        f"{row['processor_share']:.2f}",
        f"{row['memory_mib']} MiB",
        commit(told),
    ]


def detect_rate(document: dict[str, Any]) -> str:
    """How often auto detects, and what it takes."""
    titles = ["what", "detections/s of each camera", "spread", "drops", "processors: ours", "others", "promised"]
    titles += ["off by"]
    rows = [_detect_rate_row(name, row) for name, row in document["figures"].items()]
    return f"{table(titles, rows)}\n\n{commit(document)}; {_where(document)}"


def _detect_rate_row(name: str, row: dict[str, Any]) -> list[str]:
    least, most = min(row["detections_per_s"]), max(row["detections_per_s"])
    rates = f"{least:.1f} to {most:.1f}" + (", every frame" if row["every_frame"] else "")
    promised = f"{'at most ' if row['every_frame'] else ''}{row['promised_share']:.2f}"
    shares = [f"{row['our_share']:.2f}", f"{row['others_share']:.2f}", promised, f"{row['off_by']:+.2f}"]
    return [name, rates, "-" if row["spread"] is None else f"{row['spread']:.1%}", str(row["drops"]), *shares]


def memory_hour(document: dict[str, Any]) -> str:
    """Memory over an hour, and what was lost meanwhile."""
    found = document["figures"]
    due = found["slots"] - found["gated_slots"]
    first, last = found["first_and_last_tenth_mib"]
    rows = {
        "cameras, minutes": f"{found['cameras']}, {found['seconds'] / 60:g}",
        "largest": f"{found['peak_mib']} MiB{_cross(not found['reached'])} (limit {found['limit_mib']})",
        f"slope over the last {(found['seconds'] - found['slope_from_s']) / 60:g} minutes": (
            f"{found['slope_mib_per_hour']:+.1f} MiB an hour (its first tenth {first} MiB, its last {last})"
        ),
        "drops": f"{found['drops']} of {due} slots that were not gated ({found['drops'] / due:.1%})",
        "not decoded": f"{found['gated_share']:.0%} of the frames",
        "processors busy": f"{found['processor_share']:.2f}",
        "events, errors": f"{found['events']}, {len(found['errors'])}",
    }
    return f"{table(('what', 'found'), rows.items())}\n\n{commit(document)}; {_where(document)}"


def _cross(missed: bool) -> str:
    return " ✗" if missed else ""


def commit(document: dict[str, Any]) -> str:
    """Which code was measured."""
    changed = f" and {document['changed_files']} files changed" if document["changed_files"] else ""
    return f"{document['measured_utc'][:10]}, `{document['commit'][:7]}`{changed}"


def _where(document: dict[str, Any]) -> str:
    host = document["host"]
    return f"{host['processor']}, {host['cores']} cores."


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """In Markdown."""
    titles = list(titles)
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *rows))


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "streams_realtime": realtime,
    "detect_rate": detect_rate,
    "memory_hour": memory_hour,
}


if __name__ == "__main__":
    for one in TABLES:
        write(one)
