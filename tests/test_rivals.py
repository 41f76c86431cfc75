"""What the rivals' benchmark says a program cost is what it cost; its reference holds what was recorded."""

import ast
import importlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARKS = REPOSITORY / "benchmarks"
RECORDED = BENCHMARKS / "results" / "rivals.json"
MEASURE = """
import dataclasses, json, pathlib, sys
from benchmarks.rivals.processes import ProgramError, run_measured
first = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
try:
    print(json.dumps(dataclasses.asdict(run_measured([sys.executable, "-c", sys.argv[1]], {"RIVAL": "yes"}, first))))
except ProgramError as error:
    print(json.dumps({"refused": str(error)}))
"""
BURN = "import time\nwhile time.process_time() < 0.4: pass\n"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks are not part of a source distribution")


def measure(program: str, *first: Path):
    """In a process of its own: the measurement adopts and waits for every orphan below it."""
    command = [sys.executable, "-c", MEASURE, textwrap.dedent(program), *map(str, first)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="measured by way of /proc")
class TestTheCostOfAProgram:
    def test_cpu_seconds_of_descendants_count_also_when_their_parent_ended_first(self):
        cost = measure(f"""
            import subprocess, sys
            middle = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
            burn = {BURN!r}
            subprocess.run([sys.executable, "-c", middle, burn])  # its child becomes an orphan
            subprocess.run([sys.executable, "-c", burn])
        """)

        assert 0.8 <= cost["cpu_s"] < 2.5

    def test_memory_shared_by_a_child_counts_once(self):
        cost = measure("""
            import os, time
            held = bytearray(96 << 20)
            held[::4096] = bytes([1]) * len(held[::4096])  # touched, and nothing beside it
            child = os.fork()
            time.sleep(1.0)
            if child: os.waitpid(child, 0)
        """)

        assert 96 <= cost["peak_pss_mib"] < 150

    def test_the_first_result_is_what_the_program_says_or_when_the_file_grows(self, tmp_path):
        said = measure("""
            import json, os, time
            time.sleep(0.3)
            print(json.dumps({"first_result_monotonic_s": time.monotonic()}))
            time.sleep(0.5)
            print(json.dumps({"frames": 7, "rival": os.environ["RIVAL"]}))
        """)
        path = tmp_path / "events.jsonl"
        watched = measure(f"""
            import time
            time.sleep(0.3)
            open({str(path)!r}, "w").write("x")
            time.sleep(0.5)
        """, path)  # fmt: skip

        assert 0.3 <= said["first_result_s"] < said["wall_s"] - 0.4
        assert (said["said"]["frames"], said["said"]["rival"]) == (7, "yes")
        assert 0.3 <= watched["first_result_s"] < watched["wall_s"] - 0.4

    def test_a_failing_program_is_refused_with_its_last_words(self):
        assert "no such camera" in measure("raise SystemExit('no such camera')")["refused"]


def test_the_reference_holds_the_recorded_tables(monkeypatch):
    if not RECORDED.is_file():
        pytest.skip("nothing recorded")
    monkeypatch.syspath_prepend(REPOSITORY)
    tables = importlib.import_module("benchmarks.rivals.tables").as_markdown(json.loads(RECORDED.read_text()))

    assert tables in (REPOSITORY / "docs" / "reference" / "rivals.md").read_text()


def test_the_ratio_is_rival_over_ours_at_the_same_input(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    measuring = importlib.import_module("benchmarks.rivals.measuring")
    cpu = {"floor_416x416": 4, "ours_416x416": 5, "floor_416x256": 2, "ours_416x256": 2.5, "opencv": 15}
    cpu |= {"ultralytics": 10, "ultralytics_int8": 3, "handwritten": 2.5}
    slowness = [1.0, 2.0, 1.1]  # of the machine, by round
    figures = {
        name: {"cpu_each": [value * slow for slow in slowness], "peak_pss_mib": 100 * value}
        for name, value in cpu.items()
    }
    figures["opencv"]["cpu_each"][2] = 22.0  # another day within the last round

    found = measuring.compare(figures)

    assert found["opencv"] == {
        "input": "416x416", "ratio": 3.0, "ratio_each": [3.0, 3.0, 4.0], "aim": 2.0, "reached": True, "ceiling": 3.75,
        "our_share_of_its_memory": 0.33,
    }  # fmt: skip
    assert (found["ultralytics_int8"]["ratio"], found["ultralytics_int8"]["reached"]) == (1.2, False)


def test_of_rounds_on_quiet_films_medians_are_compared_and_the_gate_that_knows_gives_the_ceiling(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    measuring = importlib.import_module("benchmarks.rivals.measuring")
    cpu_s = {"handwritten": [60.0, 64.0, 90.0], "ours": [10.0, 8.0, 7.5]}

    found = measuring.compare_quiet(cpu_s | {measuring.KNOWING: [5.0, 4.0, 3.0]}, "handwritten", "ours")
    bare = measuring.compare_quiet(cpu_s, "handwritten", "ours")

    assert found == {
        "ratio": 8.0, "ratio_each": [6.0, 8.0, 12.0], "ceiling": 16.0, "aim": 8.0, "reached": True, "rounds": 3
    }  # fmt: skip
    assert "ceiling" not in bare


def test_a_gate_that_knows_decodes_from_the_keyframe_to_the_last_due_frame_alone(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(REPOSITORY)
    floor = importlib.import_module("benchmarks.rivals.floor")
    clip = str(tmp_path / "clip.mp4")
    with av.open(clip, "w") as output:
        video = output.add_stream("mpeg4", rate=30)
        video.width, video.height, video.pix_fmt, video.gop_size = 64, 48, "yuv420p", 10
        for number in range(40):
            picture = np.full((48, 64, 3), number * 5, np.uint8)  # (height, width, 3) uint8
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode())

    with av.open(clip) as film:
        keys = [number for number, packet in enumerate(film.demux(video=0)) if packet.size and packet.is_keyframe]
    due = floor.due_frames([[13, 18], [31, 37]], every=5)
    needed = sum(frame + 1 - max(key for key in keys if key <= frame) for frame in due)

    assert due == {15, 35} and 2 <= needed < 20
    assert floor.decode_active(clip, due) == (40, needed)
    assert floor.decode_all(clip) == (40, 40)


def test_nothing_of_ours_imports_a_rival_and_no_dependency_names_one():
    rivals = {"ultralytics", "trackers", "supervision"}
    sources = [*(REPOSITORY / "src").rglob("*.py"), *BENCHMARKS.glob("*.py"), *(BENCHMARKS / "rivals").glob("*.py")]
    importing = {
        path.name: found
        for path in sources
        if (found := rivals & {name.partition(".")[0] for name in imported(ast.parse(path.read_text("utf-8")))})
    }

    assert len(sources) > 50 and importing == {}
    assert not any(name in (REPOSITORY / "pyproject.toml").read_text("utf-8") for name in rivals)


def imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
