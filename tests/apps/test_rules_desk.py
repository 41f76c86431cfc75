"""Lines and zones drawn on the page: checked, saved into the pipeline file with its comments, in force at once."""

import stat

import numpy as np
import pytest

from small_bundle import make_bundle, write_walk
from vedette.apps import rules_desk
from vedette.apps.pipeline_file import parse_pipeline, read_pipeline
from vedette.apps.rules_desk import MOST_RULES, RulesDesk
from vedette.apps.run import build_watch, open_pipeline_detector
from vedette.contracts.detections import Tracks
from vedette.contracts.errors import InputError
from vedette.contracts.event import Direction
from vedette.contracts.frame import FrameStamp
from vedette.contracts.pipeline import Camera, Line, Pipeline, Zone
from vedette.edge.analytics.counts import Counts
from vedette.edge.analytics.errors import GeometryError
from vedette.edge.analytics.rules import CameraRules
from vedette.edge.live.errors import RulesError

TEXT = """\
# the yard, since May
bundle: parts   # packed on Monday
cameras:
  - name: yard
    url: "rtsp://10.0.0.5/1"
    username: 'viewer'   # may only look
    password_env: YARD
    lines:
      # the main gate
      - {name: gate, start: ["0%", "60%"], end: ["100%", "60%"]}
      - name: door
        start: [10, 20]
        end: [30, 40]   # as measured
  - name: dock
    url: dock.mp4
zones:
- {name: bay, polygon: [[0, 0], [9, 0], [9, 9]], dwell_s: 30}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


@pytest.fixture
def forced():
    return []


@pytest.fixture
def desk(file, forced):
    return RulesDesk(read_pipeline(file), forced.append, file)


def test_what_is_drawn_is_told_as_it_is_written(desk):
    drawn = desk.rules("yard")
    assert [(one["name"], one["shared"]) for one in drawn["lines"]] == [("gate", False), ("door", False)]
    assert drawn["lines"][0]["start"] == ["0%", "60%"] and drawn["lines"][1]["end"] == [30.0, 40.0]
    assert [(one["name"], one["shared"], one["dwell_s"]) for one in drawn["zones"]] == [("bay", True, 30.0)]
    assert drawn["saved_to"] == "pipeline.yaml"
    assert desk.rules("nowhere") is None


def test_a_line_moved_and_a_zone_added_are_in_force_and_in_the_file_with_all_comments(desk, file, forced):
    drawn = desk.rules("yard")
    drawn["lines"][0]["end"] = ["80.5%", "60%"]
    drawn["zones"].append({"name": "hall", "polygon": [["1%", "1%"], ["9%", "1%"], ["9%", "9%"]], "shared": False})
    after = desk.save("yard", drawn)
    assert [one["name"] for one in after["zones"]] == ["bay", "hall"] and after["revision"] != drawn["revision"]
    text = file.read_text()
    for kept in ("# the yard, since May", "# packed on Monday", "# may only look", "# the main gate", "# as measured",
                 '"rtsp://10.0.0.5/1"', "'viewer'", "url: dock.mp4"):  # fmt: skip
        assert kept in text
    before, now = ({" ".join(line.split()) for line in one.splitlines()} for one in (TEXT, text))
    assert before - now == {'- {name: gate, start: ["0%", "60%"], end: ["100%", "60%"]}'}
    saved = read_pipeline(file)
    assert saved == forced[-1]
    assert saved.cameras[0].lines[0].end == ("80.5%", "60%") and saved.cameras[0].zones[0].name == "hall"
    assert saved.cameras[1].zones == ()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640 and list(file.parent.iterdir()) == [file]


def test_what_belongs_to_every_camera_is_changed_for_every_camera(desk, file, forced):
    drawn = desk.rules("dock")
    drawn["zones"][0]["name"] = "ramp"
    desk.save("dock", drawn)
    assert [zone.name for zone in read_pipeline(file).zones] == ["ramp"]
    assert desk.rules("yard")["zones"][0]["name"] == "ramp"
    drawn = desk.rules("yard")
    desk.save("yard", {**drawn, "lines": [], "zones": []})
    assert "zones" not in file.read_text() and "lines" not in file.read_text()
    assert len(forced) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"lines": [{"name": "bay", "start": [0, 0], "end": [1, 1]}]},
            "bay: each line and zone of a camera needs a name",
        ),
        ({"lines": [{"name": "a b", "start": [0, 0], "end": [1, 1]}]}, "line 'a b': name must be letters, digits"),
        ({"lines": [{"name": "a", "start": [0, 0], "end": [0, 0]}]}, "starts and ends at the same point"),
        ({"zones": [{"name": "a", "polygon": [[0, 0], [1, 1]]}]}, "polygon"),
        ({"lines": [{"name": "a", "start": ["x", 0], "end": [0, 0], "url": "file:"}]}, "unknown key"),
        ({"lines": {}}, "must be a list"),
        ({"lines": [3]}, "must be a list"),
        ({"lines": [{}] * (MOST_RULES + 1)}, "too many"),
        ({"revision": "old"}, "somebody else"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_nothing_changes(desk, file, forced, change, words):
    with pytest.raises(RulesError, match=words) as refused:
        desk.save("yard", {**desk.rules("yard"), **change})
    assert "\n" not in str(refused.value)
    assert file.read_text() == TEXT and forced == []


def test_a_file_that_cannot_be_written_or_was_changed_badly_meanwhile_is_said(desk, file, forced, tmp_path):
    drawn = desk.rules("yard")
    by_hand = TEXT.replace("url: dock.mp4", "url: dock.mp4\n    lines: [{name: new, start: [1, 2], end: [3, 4]}]")
    for changed in (by_hand, TEXT.replace("name: dock", "name: quay")):
        file.write_text(changed)
        with pytest.raises(RulesError, match="was changed by hand since this run read it"):
            desk.save("yard", drawn)
        assert file.read_text() == changed
    file.write_text("bundle: [")
    with pytest.raises(RulesError, match="cannot be saved into"):
        desk.save("yard", drawn)
    file.unlink()
    with pytest.raises(RulesError, match="cannot be read"):
        desk.save("yard", drawn)
    assert forced == [] and list(tmp_path.iterdir()) == []


def test_what_the_page_shows_of_a_pipeline_has_no_password_of_an_address(tmp_path):
    text = TEXT.replace("rtsp://10.0.0.5/1", "rtsp://10.0.0.5/1?user=u&pwd=CANARY")
    shown = RulesDesk(parse_pipeline(text, "a.yaml"), lambda _: None, None).as_file()
    assert "CANARY" not in shown and "rtsp://10.0.0.5/1" in shown
    name = parse_pipeline(text).cameras[0].name
    assert f"\n# Passwords in URLs were left out (***); write them in again: camera {name}.\n" in shown
    assert "left out" not in RulesDesk(parse_pipeline(TEXT, "a.yaml"), lambda _: None, None).as_file()


def test_a_line_without_length_in_the_picture_puts_the_file_back(file):
    settings = read_pipeline(file)
    asked = []

    def put_in_force(pipeline):
        asked.append(pipeline)
        if pipeline is not settings:
            raise GeometryError("camera 'yard', line 'tiny': start and end are the same point")

    desk = RulesDesk(settings, put_in_force, file)
    drawn = desk.rules("yard")
    drawn["lines"].append({"name": "tiny", "start": ["0%", "0%"], "end": [0, 0]})
    with pytest.raises(RulesError, match="line 'tiny'"):
        desk.save("yard", drawn)
    assert file.read_text() == TEXT and asked[-1] is settings
    assert [one["name"] for one in desk.rules("yard")["lines"]] == ["gate", "door"]


def test_a_run_by_flags_is_told_as_a_pipeline_file(forced):
    camera = Camera(name="film", url="film.mp4", realtime=True)
    desk = RulesDesk(Pipeline(bundle="parts", cameras=(camera,)), forced.append, None)
    drawn = desk.rules("film")
    assert drawn["saved_to"] is None
    desk.save("film", {**drawn, "lines": [{"name": "gate", "start": ["0%", "5%"], "end": [3, "5%"], "shared": True}]})
    assert parse_pipeline(desk.as_file()) == forced[-1]
    assert desk.as_file().startswith("# A pipeline of Vedette")


def moves(rules, *points, since=0):
    """One object with its lower edge at these points, a frame each; what happened."""
    found = []
    for number, (x, y) in enumerate(points, since):
        box = np.array([[x - 5, y - 10, x + 5, y]], np.float32)
        tracks = Tracks(np.array([7]), box, np.array([0.9], np.float32), np.array([0], np.int32), ("bolt",))
        stamp = FrameStamp("yard", number, number / 10, 1_790_000_000.0, 100, 100)
        found += [(one.type.value, one.line or one.zone) for one in rules.update(stamp, tracks)]
    return found


def test_other_rules_go_on_with_objects_and_counts_of_what_did_not_change():
    gate = Line(name="gate", start=("50%", "0%"), end=("50%", "100%"))
    bay = Zone(name="bay", polygon=(("0%", "0%"), ("90%", "0%"), ("90%", "90%"), ("0%", "90%")))
    hall = Zone(name="hall", polygon=(("0%", "0%"), ("95%", "0%"), ("95%", "95%")))
    rules = CameraRules("yard", [gate], [bay, hall])
    moves(rules, (20, 40), (30, 40), (70, 40), (80, 40))
    assert rules.counts.to_json()["zones"]["bay"]["inside"] == 1
    other = Line(name="other", start=("0%", "95%"), end=("99%", "95%"))
    moved_hall = Zone(name="hall", polygon=(("0%", "0%"), ("5%", "0%"), ("5%", "5%")))
    rules.change([other, gate], [moved_hall, bay])
    assert rules.counts.to_json()["lines"]["gate"] == {"bolt": {"a_to_b": 0, "b_to_a": 1}}
    assert rules.counts.to_json()["zones"]["bay"] == {"inside": 1, "entered": 1, "exited": 0, "dwelled": 0}
    assert rules.counts.to_json()["zones"]["hall"]["inside"] == 0
    assert [one.name for one in rules.placed_lines] == ["other", "gate"]
    assert moves(rules, (70, 40), (30, 40), (20, 40), since=4) == [("vedette.line_crossed.v1", "gate")]
    assert rules.counts.to_json()["zones"]["bay"]["entered"] == 1  # it has been in there all the time
    rules.change([], [])
    assert rules.counts.to_json() == {"lines": {}, "zones": {}} and moves(rules, (70, 40), since=7) == []


def test_rules_that_cannot_be_placed_leave_the_old_ones_in_force():
    gate = Line(name="gate", start=("50%", "0%"), end=("50%", "100%"))
    rules = CameraRules("yard", [gate], [], width=100, height=100)
    with pytest.raises(GeometryError):
        rules.change([Line(name="tiny", start=(50, 0), end=("50%", "0%"))], [])
    assert [one.name for one in rules.placed_lines] == ["gate"]
    assert moves(rules, (20, 40), (30, 40), (70, 40), (80, 40)) == [("vedette.line_crossed.v1", "gate")]


def test_a_run_counts_at_a_line_that_was_drawn_while_it_runs(tmp_path):
    clip = write_walk(tmp_path / "walk.mp4", [(column, 1) for column in (0, 1, 2, 3)])
    camera = Camera(name="door", url=str(clip))
    settings = Pipeline(bundle=str(make_bundle(tmp_path / "bundle").path), cameras=(camera,), counts=False)
    watch = build_watch(settings, *open_pipeline_detector(settings), None)
    desk = RulesDesk(settings, watch.change_rules, None)
    line = {"name": "gate", "start": ["50%", "0%"], "end": ["50%", "100%"], "shared": False}
    desk.save("door", {**desk.rules("door"), "lines": [line]})
    assert watch.run().counts["door"]["lines"] == {"gate": {"red": {"a_to_b": 0, "b_to_a": 1}}}
    assert watch.status().cameras[0].counts["gate b→a"] == 1


def test_a_line_drawn_again_under_its_name_goes_on_with_its_sums_of_earlier_runs_too():
    counts = Counts(["gate"], ["bay"])
    counts.go_on_from(
        {"lines": {"gate": {"bolt": {"a_to_b": 2}}, "old": {"nut": {"b_to_a": 7}}}, "zones": {"yard": {"entered": 3}}}
    )
    counts.cross("gate", "bolt", Direction.A_TO_B)
    assert set(counts.to_json()["lines"]) == {"gate"} and set(counts.to_json()["zones"]) == {"bay"}
    counts.watch(["old"], ["yard"], ())
    assert counts.crossings("old", "nut", Direction.B_TO_A) == 7
    assert counts.to_json()["zones"] == {"yard": {"inside": 0, "entered": 3, "exited": 0, "dwelled": 0}}
    counts.watch(["gate", "new"], [], ())
    assert counts.crossings("gate", "bolt", Direction.A_TO_B) == 3
    assert counts.to_json()["lines"]["new"] == {}


def test_a_file_that_may_not_be_written_is_said_with_what_to_do(desk, file, forced, monkeypatch):
    def refuse(*_args, **_more):
        raise InputError(f"{file}: cannot be written: Read-only file system")

    monkeypatch.setattr(rules_desk, "write_whole", refuse)
    with pytest.raises(RulesError, match=r"Read-only file system; let this program write it"):
        desk.save("yard", {**desk.rules("yard"), "lines": []})
    assert forced == [] and len(desk.rules("yard")["lines"]) == 2
