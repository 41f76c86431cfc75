"""What the page and Prometheus may ask of a run beyond its status: counts over time, heat, times of stages, sinks.

`edge.live.insight_routes.Insight`; called in a worker thread of the page.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vedette.apps.stage_times import BUCKETS_S
from vedette.version import __version__

if TYPE_CHECKING:
    from vedette.apps.watching import Watch
    from vedette.edge.counting.keeper import CountsKeeper

MOST_HOURS = 24 * 366
BY_DAY_FROM_HOURS = 24 * 4
_ARROWS = {"a_to_b": "a→b", "b_to_a": "b→a"}


class RunInsight:
    """Of one watch and, where counts are kept, their keeper."""

    def __init__(self, watch: Watch, keeper: CountsKeeper | None) -> None:
        self._watch = watch
        self._keeper = keeper

    def timing(self) -> dict[str, Any]:
        """See `StageTimes.to_json`."""
        return self._watch.times.to_json()

    def history(self, camera: str, hours: int) -> dict[str, Any] | None:
        """Counts of a camera by local hour (by day where that is long), zeroes too; None for no such camera."""
        from vedette.edge.counting.sums import begin_of, sum_rows

        if self._keeper is None or camera not in self._watch.counts():
            return None
        hours = min(max(hours, 1), MOST_HOURS)
        by, now = "day" if hours >= BY_DAY_FROM_HOURS else "hour", time.time()
        step_s = 3600 if by == "hour" else 86400
        begins = list(dict.fromkeys(begin_of(now - back * 3600, by) for back in range(hours - 1, -1, -1)))
        first_s = datetime.fromisoformat(begins[0]).timestamp()
        place = {begin: number for number, begin in enumerate(begins)}
        series: dict[str, list[int]] = {}
        for row in sum_rows(self._keeper.store.rows(camera, since_unix_s=first_s), by):
            if row.since in place and row.what in {"a_to_b", "b_to_a", "entered"}:
                name = f"{row.place} {_ARROWS.get(row.what, row.what)}"
                series.setdefault(name, [0] * len(begins))[place[row.since]] += row.count
        return {
            "by": by,
            "step_s": step_s,
            "begins": begins,
            "series": [{"name": name, "counts": counts} for name, counts in sorted(series.items())],
            "kept": self._keeper.store.path is not None,
        }

    def heat(self, camera: str, hours: int) -> dict[str, Any] | None:
        """Object-seconds by cell over the last hours, row by row; None for no such camera."""
        heat = self._watch.heat.get(camera)
        if heat is None:
            return None
        grid = heat.seconds(hours, time.time())
        rows, columns = grid.shape
        cells = [round(float(seconds), 1) for seconds in grid.ravel()]
        return {"rows": rows, "columns": columns, "seconds": cells}

    def figures(self) -> dict[str, Any]:
        """What `/metrics` tells beyond the status."""
        watch, keeper = self._watch, self._keeper
        return {
            "version": __version__,
            "totals": watch.totals(),
            "buckets_s": BUCKETS_S,
            "stages": watch.times.histograms(),
            "busy": watch.times.to_json()["busy"],
            "sinks": [
                {
                    "name": sink.name,
                    "published": sink.published,
                    "lost": sink.lost,
                    "waiting": getattr(sink, "waiting", 0),
                }
                for sink in watch.outlets.sinks
            ],
            "counts": None if keeper is None else {"waiting": keeper.waiting, "uncounted": keeper.uncounted},
        }
