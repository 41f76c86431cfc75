"""`vedette counts`: tables, CSV and JSON of a file of counts, and what is asked wrongly."""

import csv
import io
import json
from pathlib import Path

import pytest

from counted_events import counted_event
from small_bundle import make_bundle, write_walk
from vedette.apps.cli import run_command
from vedette.apps.kept_counts import counts_file, kept_counts
from vedette.apps.moments import parse_moment
from vedette.apps.run import build_watch, open_pipeline_detector
from vedette.apps.state_folder import state_folder
from vedette.contracts.errors import UsageError
from vedette.contracts.event import EventType
from vedette.contracts.pipeline import Camera, Line, Pipeline
from vedette.edge.counting.store import CountsStore
from vedette.edge.counting.tallies import tally_of


@pytest.fixture
def counted(tmp_path):
    path = tmp_path / "counts.sqlite"
    with CountsStore(path) as store:
        events = [counted_event(n, when=f"2026-11-22T{10 + n}:07:00Z") for n in range(1, 4)]
        events += [counted_event(9, camera="yard", place="bay", kind=EventType.ZONE_EXITED, dwell_s=8.0)]
        store.add([tally_of(event) for event in events])
    return path


def printed(capsys, *argv):
    assert run_command(["counts", *map(str, argv)]) == 0
    return capsys.readouterr().out


def test_a_table_sums_by_line_class_and_direction(counted, capsys):
    table = printed(capsys, counted)
    assert "Counts since 2026-11-22T" in table
    assert "a_to_b" in table and "8.0 s" in table


def test_csv_by_hour_holds_one_row_an_hour(counted, capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, counted, "--by", "hour", "--csv", "--camera", "gate"))))
    assert [(row["name"], row["class"], row["what"], row["count"]) for row in rows] == [
        ("in", "bolt", "a_to_b", "1")
    ] * 3
    assert len({row["since"] for row in rows}) == 3


def test_json_is_cut_by_time_and_place(counted, capsys):
    document = json.loads(printed(capsys, counted, "--json", "--since", "2026-11-22T12:00Z", "--line", "in"))
    assert [one["count"] for one in document["counts"]] == [2]
    assert json.loads(printed(capsys, counted, "--json", "--until", "2026-11-01"))["counts"] == []


def test_nothing_counted_is_said(counted, capsys):
    assert printed(capsys, counted, "--camera", "nowhere") == "nothing was counted there and then\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--since", "soon"], "write a day"),
        (["--csv", "--json"], "not both"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "is not before"),
    ],
)
def test_what_cannot_be_asked_is_said(counted, capsys, argv, words):
    assert run_command(["counts", str(counted), *argv]) == 2
    assert words in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(tmp_path, capsys, monkeypatch):
    assert run_command(["counts", str(tmp_path / "none.sqlite")]) == 1
    assert "there is no file of counts" in capsys.readouterr().err
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert run_command(["counts"]) == 1
    assert str(tmp_path / "state" / "counts.sqlite") in capsys.readouterr().err


def test_moments():
    assert parse_moment("7d", 1_000_000.0, "--since") == 1_000_000 - 7 * 86400
    assert parse_moment("2026-11-22", 0, "--until", whole_day=True) - parse_moment("2026-11-22", 0, "--since") == 86400
    assert parse_moment("2026-11-22T10:00:00Z", 0, "--since") == 1795341600
    assert parse_moment("today", 1795341600, "--since") <= 1795341600
    with pytest.raises(UsageError):
        parse_moment("99999-01-01", 0, "--since")


def test_live_cameras_are_counted_into_a_file_and_films_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    film, live = Camera(name="film", url="film.mp4"), Camera(name="live", url="rtsp://10.0.0.1/1")
    assert counts_file(Pipeline(bundle="b", cameras=(film,))) is None
    assert counts_file(Pipeline(bundle="b", cameras=(film, live))) == tmp_path / "counts.sqlite"
    assert counts_file(Pipeline(bundle="b", cameras=(film, live), counts=False)) is None
    assert counts_file(Pipeline(bundle="b", cameras=(film,), counts="here.db")) == Path("here.db")


def test_the_state_folder_is_systemds_then_xdgs_then_the_users():
    assert state_folder({"STATE_DIRECTORY": "/var/lib/v:/var/lib/w", "XDG_STATE_HOME": "/x"}) == Path("/var/lib/v")
    assert state_folder({"XDG_STATE_HOME": "/x"}) == Path("/x/vedette")
    assert state_folder({"XDG_STATE_HOME": "x"}) == Path.home() / ".local" / "state" / "vedette"


def test_the_next_run_goes_on_from_the_sums_of_the_one_before_and_reports_its_own(tmp_path, capsys):
    bundle, kept = make_bundle(tmp_path / "bundle").path, tmp_path / "kept.sqlite"
    clip = write_walk(tmp_path / "walk.mp4", [(column, 1) for column in (0, 1, 2, 3)])
    flags = ["--bundle", bundle, "--camera", f"door={clip}", "--line", "gate=50%,0%,50%,100%", "--counts", kept]
    assert run_command(["run", *map(str, flags)]) == 0
    assert f"counts: {kept}" in capsys.readouterr().err
    line = Line(name="gate", start=("50%", "0%"), end=("50%", "100%"))
    settings = Pipeline(
        bundle=str(bundle), cameras=(Camera(name="door", url=str(clip)),), lines=(line,), counts=str(kept)
    )
    with kept_counts(settings) as keeper:
        watch = build_watch(settings, *open_pipeline_detector(settings), None, keeper=keeper)
        assert watch.status().cameras[0].counts == {"gate a→b": 0, "gate b→a": 1, "gate b→a red": 1}
        assert watch.run().counts["door"]["lines"] == {"gate": {"red": {"a_to_b": 0, "b_to_a": 1}}}
        assert watch.status().cameras[0].counts["gate b→a"] == 2
    document = json.loads(printed(capsys, kept, "--json"))
    assert [(one["camera"], one["what"], one["count"]) for one in document["counts"]] == [("door", "b_to_a", 2)]
