"""The page of the stream engine holds what its benchmarks recorded; a run of some rows leaves the others recorded."""

import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "reference" / "streams.md"

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "benchmarks").is_dir(), reason="benchmarks are not part of a source distribution"
)


@pytest.fixture
def benchmark_module(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_the_page_holds_the_recorded_tables(benchmark_module):
    tables, page = benchmark_module("streams_tables"), PAGE.read_text("utf-8")

    assert [name for name in tables.TABLES if f"{tables.begin(name)}\n\n{tables.as_markdown(name)}\n" not in page] == []


class TestRowsInRealTime:
    def test_rows_measured_anew_take_the_place_of_old_ones_and_the_others_keep_their_commit(self, benchmark_module):
        merge = benchmark_module("streams_realtime").merge
        old = {"measured_utc": "2026-01-01T00:00:00Z", "commit": "aaa", "changed_files": 0}
        new = {"measured_utc": "2026-02-02T00:00:00Z", "commit": "bbb", "changed_files": 1}

        first = merge(None, old | {"figures": {"416x256": {"slots": 1}, "busy-h265": {"slots": 2}}})
        both = merge(first, new | {"figures": {"busy-h264": {"slots": 3}, "busy-h265": {"slots": 4}}})

        assert both["commit"] == "bbb"
        assert both["figures"] == {
            "416x256": {"slots": 1} | old, "busy-h264": {"slots": 3} | new, "busy-h265": {"slots": 4} | new
        }  # fmt: skip
        assert list(both["figures"]) == ["416x256", "busy-h264", "busy-h265"]

    def test_the_record_of_a_run_of_all_rows_passes_its_commit_on(self, benchmark_module):
        merge = benchmark_module("streams_realtime").merge
        old = {"measured_utc": "2026-01-01T00:00:00Z", "commit": "aaa", "changed_files": 0}

        merged = merge(old | {"figures": {"416x416": {"slots": 1}}}, old | {"commit": "bbb", "figures": {}})

        assert merged["figures"]["416x416"]["commit"] == "aaa"

    def test_a_row_without_events_tells_how_late_detections_were_and_marks_what_is_beyond_a_limit(
        self, benchmark_module
    ):
        row = {"what": "the busy clip", "size": "416x256", "seconds": 180.0, "cameras": 8, "floor_frames_per_s": 400.4}
        row |= {"share_of_floor": 0.6, "missed_slots": 9, "slots": 90, "missed_slots_share": 0.1, "events": 0}
        row |= {"event_latency_ms": None, "detection_latency_ms": {"p50": 20, "p95": 400}, "processor_share": 1.5}
        row |= {"memory_mib": 1, "limits": {"missed_slots_share": 0.01, "event_latency_p95_ms": 400}}
        told = {"measured_utc": "2026-02-02T00:00:00Z", "commit": "bbbbbbbbbb", "changed_files": 0}
        host = {"processor": "X", "cores": 2}

        line = benchmark_module("streams_tables").realtime(
            told | {"figures": {"busy-h264": row}, "host": host}
        ).splitlines()[2]  # fmt: skip

        assert line == (
            "| the busy clip | 416x256 | 180 | 8 | 400 | 0.60 | 9 of 90 ✗ | detection: 20, 400 ms ✗ | 1.50 | 1 MiB | "
            "2026-02-02, `bbbbbbb` |"
        )


class TestHowOftenIsDetected:
    def test_a_run_is_held_to_the_target_less_what_others_take_and_to_its_least_share(self, benchmark_module):
        judge = benchmark_module("detect_rate").judge
        rates = {"frames_per_s": [30.0, 30.0], "detections_per_s": [19.0, 21.0]}

        alone = judge(rates | {"our_share": 0.80, "others_share": 0.02})
        beside = judge(rates | {"our_share": 0.45, "others_share": 0.55})

        assert (alone["promised_share"], alone["off_by"], alone["spread"]) == (0.86, -0.06, 0.1)
        assert (beside["promised_share"], beside["off_by"]) == (0.4, 0.05)

    def test_every_frame_keeps_the_promise_with_less_but_not_with_more(self, benchmark_module):
        judge = benchmark_module("detect_rate").judge
        rates = {"frames_per_s": [30.0, 30.0], "detections_per_s": [30.0, 29.9]}

        less = judge(rates | {"our_share": 0.3, "others_share": 0.0})
        more = judge(rates | {"our_share": 0.7, "others_share": 0.3})

        assert (less["every_frame"], less["off_by"]) == (True, 0.0)
        assert (more["every_frame"], more["off_by"]) == (True, 0.12)


def test_memory_is_judged_once_its_buffers_are_full(benchmark_module):
    settled = benchmark_module("memory_hour").settled
    samples = [(at_s, 100 if at_s < 600 else 200 + at_s // 60) for at_s in range(0, 3600, 10)]

    found = settled(samples, 3600)

    assert found["slope_from_s"] == 600
    assert found["slope_mib_per_hour"] == pytest.approx(60, abs=0.1)
    assert found["first_and_last_tenth_mib"] == [212, 257]


class TestMaterialThatIsMadeOnce:
    def test_what_was_ended_on_the_way_is_made_anew_and_what_is_whole_stays(self, benchmark_module, tmp_path):
        whole, target = benchmark_module("stream_material").whole, tmp_path / "cache" / "stills"

        def be_ended(folder):
            folder.mkdir()
            (folder / "half.jpg").touch()
            raise KeyboardInterrupt

        def finish(folder):
            folder.mkdir()  # refused if something of the first attempt were there
            (folder / "all.jpg").touch()

        with pytest.raises(KeyboardInterrupt):
            whole(target, be_ended)
        assert not target.exists()

        whole(target, finish)
        whole(target, be_ended)
        assert [path.name for path in target.iterdir()] == ["all.jpg"]
        assert list(target.parent.iterdir()) == [target]

    def test_a_packing_that_failed_is_done_again_with_the_run_that_was_trained(
        self, benchmark_module, monkeypatch, tmp_path
    ):
        material = benchmark_module("stream_material")
        monkeypatch.setenv("VEDETTE_CACHE", str(tmp_path))
        monkeypatch.setattr(material, "STILLS", 1)
        commands = []

        def vedette(*arguments):
            commands.append(arguments[0])
            if commands == ["train", "pack"]:
                raise SystemExit("no room")
            Path(arguments[arguments.index("--out") + 1]).mkdir()

        monkeypatch.setattr(material, "_vedette", vedette)
        with pytest.raises(SystemExit, match="no room"):
            material.scene_bundle()
        stills = material.cache_folder() / "stills"
        drawn_ns = stills.stat().st_mtime_ns

        bundle = material.scene_bundle()

        assert commands == ["train", "pack", "pack"] and bundle.is_dir()
        assert stills.stat().st_mtime_ns == drawn_ns and len(list((stills / "JPEGImages").iterdir())) == 1
