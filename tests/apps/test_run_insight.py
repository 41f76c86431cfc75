"""What the page and Prometheus may ask of a run: history, heat, stages, metrics; and the dashboard made of those."""

import json
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from small_bundle import make_bundle, write_walk
from vedette.apps import stage_times
from vedette.apps.kept_counts import kept_counts
from vedette.apps.run import build_watch, open_page, open_pipeline_detector
from vedette.apps.run_insight import RunInsight
from vedette.apps.stage_times import BUCKETS_S, FULL, StageTimes, bottleneck
from vedette.apps.timed_detector import TimedAsyncDetector, timed
from vedette.contracts.detections import Tracks
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Camera, FileTarget, Line, Pipeline, Show, Zone
from vedette.contracts.ports import AsyncDetector
from vedette.contracts.status import Outlets, PublishingStatus, RecordingStatus, Status
from vedette.edge.analytics.heat import COLUMNS, HOURS, MOST_STEP_S, ROWS, HeatMap
from vedette.edge.live.feed import Feed
from vedette.edge.live.metrics_text import metrics_text
from vedette.edge.live.snapshots import SnapshotStore
from vedette.edge.live.stages import StageBoard

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "vedette.json"
EVERYWHERE = (("0%", "0%"), ("100%", "0%"), ("100%", "100%"), ("0%", "100%"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run with a page, sinks and kept counts, watched to its end; its insight and its metrics."""
    folder = tmp_path_factory.mktemp("run")
    settings = Pipeline(
        bundle=str(make_bundle(folder / "bundle").path),
        cameras=(Camera(name="door", url=str(write_walk(folder / "walk.mp4", [(column, 1) for column in range(4)]))),),
        lines=(Line(name="gate", start=("50%", "0%"), end=("50%", "100%")),),
        zones=(Zone(name="hall", polygon=EVERYWHERE),),
        events=(FileTarget(kind="file", path=str(folder / "events.jsonl")),),
        show=Show(port=0),
        counts=str(folder / "counts.sqlite"),
    )
    with pytest.MonkeyPatch.context() as patch, open_page(settings) as page, kept_counts(settings) as keeper:
        patch.setattr(stage_times, "WINDOW_S", 0.0)
        watch = build_watch(settings, *open_pipeline_detector(settings), page, keeper=keeper)
        insight = RunInsight(watch, keeper)
        insight.timing()  # shares are of the time between two looks
        watch.run()
        assert keeper.flush(60)
        feed = Feed(SnapshotStore(), StageBoard())
        feed.ask_from_now_on(watch.status)
        yield insight, metrics_text(feed.status_to_json(), insight.figures())


def samples(text):
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_metrics_tell_counts_states_stages_and_sinks(ended):
    found = samples(ended[1])
    assert found['vedette_crossings_total{camera="door",line="gate",class="red",direction="b_to_a"}'] == 1
    assert found['vedette_zone_objects_total{camera="door",zone="hall",what="entered"}'] == 1
    assert found['vedette_camera_state{camera="door",state="ended"}'] == 1
    assert found['vedette_camera_state{camera="door",state="running"}'] == 0
    slots = found['vedette_stage_seconds_count{stage="inference"}']
    assert slots > 3 and found['vedette_stage_seconds_bucket{stage="inference",le="+Inf"}'] == slots
    assert 0 < found['vedette_stage_seconds_sum{stage="inference"}'] < 600
    assert [found[name] for name in found if name.startswith("vedette_sink_published_total")] == [2]
    assert found["vedette_counts_waiting"] == 0 and found["vedette_counts_uncounted_total"] == 0
    assert any(name.startswith('vedette_info{version="') for name in found)


def test_metrics_are_well_formed(ended):
    described = Counter(re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", ended[1], re.MULTILINE))
    assert described and max(described.values()) == 1
    label = r'\w+="(?:[^"\\]|\\.)*"'
    for line in ended[1].splitlines():
        if line[0] != "#":
            match = re.fullmatch(rf"(\w+)(?:\{{{label}(?:,{label})*\}})? -?[0-9.e+-]+", line)
            assert match, line
            name = match.group(1)
            assert name in described or re.sub(r"_(bucket|sum|count)$", "", name) in described, line


def test_counts_over_time_hold_every_hour_and_the_crossing_in_the_last(ended):
    told = ended[0].history("door", 24)
    assert told["by"] == "hour" and told["kept"] and 23 <= len(told["begins"]) <= 25
    series = {one["name"]: one["counts"] for one in told["series"]}
    assert set(series) == {"gate b→a", "hall entered"} and sum(series["gate b→a"]) == 1
    assert sum(series["gate b→a"][-2:]) == 1  # the hour may have turned meanwhile
    assert ended[0].history("door", 31 * 24)["by"] == "day"
    assert ended[0].history("nowhere", 24) is None


def test_heat_lies_where_the_objects_were(ended):
    told = ended[0].heat("door", 24)
    assert (told["rows"], told["columns"]) == (ROWS, COLUMNS)
    assert sum(told["seconds"]) > 0 and ended[0].heat("nowhere", 1) is None


def test_heat_is_seconds_in_cells_however_often_one_looks():
    box = np.array([[40, 20, 60, 50]], np.float32)  # its foot in the middle
    someone = Tracks(np.array([1]), box, np.array([0.9], np.float32), np.array([0], np.int32), ("bolt",))
    for step_s in (0.1, 0.5):
        heat = HeatMap()
        for number in range(int(10 / step_s) + 1):
            heat.add(FrameStamp("a", number, number * step_s, 1_790_000_000.0, 100, 100), someone)
        grid = heat.seconds(1, 1_790_000_000.0)
        assert grid[ROWS // 2, COLUMNS // 2] == pytest.approx(10, abs=0.01) and grid.sum() == pytest.approx(
            10, abs=0.01
        )
    heat.add(FrameStamp("a", 99, 9999.0, 1_790_000_000.0 + 3600, 100, 100), someone)  # after a gap
    assert heat.seconds(1, 1_790_003_600.0).sum() == MOST_STEP_S
    assert heat.seconds(2, 1_790_003_600.0).sum() == pytest.approx(10 + MOST_STEP_S, abs=0.01)
    for hour in range(60):
        heat.add(FrameStamp("a", 99, 1e4 + hour, 1_790_007_200.0 + 3600 * hour, 100, 100), someone)
    assert len(heat._by_hour) <= HOURS


def test_stage_times_name_the_stage_that_is_full():
    assert bottleneck({"decoding": 0.2, "inference": 0.95, "results": 0.1}) == (
        "Inference is the bottleneck: busy 95 % of the time."
    )
    assert bottleneck({"decoding": FULL - 0.01, "inference": 0.1}) == "Nothing holds the run back."
    assert bottleneck({}) == ""
    times = StageTimes(lambda: (0.0, 0), 2)
    for spent_s in (0.001, 0.02, 99.0):
        times.add(0.0, spent_s, -1.0, 0.0)
    counts, sum_s = times.histograms()["inference"]
    assert sum(counts) == 3 and counts[0] == 1 and counts[-1] == 1 and sum_s == pytest.approx(99.021)
    assert len(counts) == len(BUCKETS_S) + 1
    assert times.histograms()["tracking"][1] == 0.0
    assert times.to_json()["stages"][2]["mean_ms"] == pytest.approx(33007)


class SlowDetector:
    """`AsyncDetector` of nothing; `in_flight` makes it one."""

    in_flight = 2
    manifest = engine_name = engine_description = "slow"

    def __call__(self, image):
        return "one"

    def detect_fitted(self, pixels, placements):
        time.sleep(0.02)
        return ["two"]

    def submit(self, pixels, placements):
        pass

    def take(self):
        time.sleep(0.02)
        return ["three"]


def test_a_timed_detector_detects_as_before_and_knows_how_long_it_was_busy():
    detector = timed(SlowDetector())
    assert isinstance(detector, TimedAsyncDetector) and isinstance(detector, AsyncDetector)
    assert (detector.engine_name, detector.in_flight, detector(None)) == ("slow", 2, "one")
    assert detector.last is None
    detector.submit([], [])
    detector.submit([], [])
    assert detector.take() == ["three"] and detector.take() == ["three"]
    assert detector.busy_s >= 0.04 and detector.last.done_unix_s - detector.last.began_unix_s >= 0.02
    busy_s = detector.busy_s
    assert detector.detect_fitted(None, []) == ["two"] and detector.busy_s >= busy_s + 0.02


def expressions(panels):
    for panel in panels:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_every_expression_of_the_dashboard_is_about_a_metric_that_there_is(ended):
    names = set(re.findall(r"^(\w+)", re.sub(r"^#.*$", "", ended[1], flags=re.MULTILINE), re.MULTILINE))
    names |= {"vedette_box_hottest_c", "vedette_box_throttled"}  # of boxes with sensors: see test_health_on_page
    dashboard = json.loads(DASHBOARD.read_text())
    asked = {name for _, expr in expressions(dashboard["panels"]) for name in re.findall(r"vedette_\w+", expr)}
    outlets = Outlets(clips=RecordingStatus("clips", "c", free_bytes=1), publishing=(PublishingStatus("door", "u"),))
    beside = metrics_text({**Status(outlets=outlets).to_json(), "now_unix_s": 1.7e9})
    assert len(asked) > 20
    assert asked <= names | set(re.findall(r"^(vedette_\w+)\{", beside, re.MULTILINE))
    labels = {label for line in samples(ended[1]) for label in re.findall(r"(\w+)=\"", line)} | {"instance", "camera"}
    used = {label for _, expr in expressions(dashboard["panels"]) for label in re.findall(r"(\w+)=~?\"", expr)}
    assert used - labels == set()
    told = names - asked - {name for name in names if name.endswith(("_sum", "_count"))}
    told = {name for name in told if not name.startswith("vedette_box_")}
    assert told <= {"vedette_info", "vedette_start_time_seconds", "vedette_events_total", "vedette_camera_running",
                    "vedette_camera_gated_detections_total"}  # fmt: skip


def test_the_dashboard_is_one_that_grafana_takes():
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    assert dashboard["uid"] and dashboard["schemaVersion"] >= 36 and "id" not in dashboard
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = Counter()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        taken.update(cells)
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}" and panel["targets"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert max(taken.values()) == 1
    for _, expr in expressions(panels):
        assert expr.count("(") == expr.count(")") and expr.count("{") == expr.count("}") and "$instance" in expr
        assert set(re.findall(r"\$(\w+)", expr)) <= set(variables)
