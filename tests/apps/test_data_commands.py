"""`vedette data ...` as a person calls it: JSON on standard output, messages on standard error, exit codes."""

import json

import pytest

from label_sets import write_picture, write_voc
from vedette.apps.cli import run_command

GOOD = ("dog", (2, 3, 14, 15))


@pytest.fixture
def source(tmp_path):
    return write_voc(tmp_path / "source", {"a": [GOOD], "b": [GOOD, ("cat", (5, 5, 5, 5))], "c": [GOOD], "d": [GOOD]})


def test_check_exits_with_1_on_errors_and_prints_one_json_document(source, capsys):
    assert run_command(["data", "check", str(source), "--json"]) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert list(document) == ["problems", "counts", "classes", "format"]
    (problem,) = document["problems"]
    assert list(problem) == ["kind", "severity", "file", "object", "message"]
    assert (problem["kind"], problem["file"], problem["object"]) == ("empty-box", "Annotations/b.xml", 1)
    assert "checking" in err


def test_check_repairs_say_what_they_change_and_judge_what_is_left(source, capsys):
    assert run_command(["data", "check", str(source), "--repair", "clip,drop-empty", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == []
    assert [(r["file"], r["object"], r["repair"], r["after_xyxy_px"]) for r in document["repairs"]] == [
        ("Annotations/b.xml", 1, "drop-empty", None)
    ]
    assert run_command(["data", "check", str(source), "--repair", "clip"]) == 0
    assert "repairs: nothing to do" in capsys.readouterr().out
    assert run_command(["data", "check", str(source), "--repair", "all"]) == 2


def test_check_in_words_names_file_and_object(source, capsys):
    assert run_command(["data", "check", str(source)]) == 1
    out = capsys.readouterr().out
    assert "error   empty-box: Annotations/b.xml: object 1 (cat)" in out
    assert "voc: 4 pictures, 5 objects, 2 classes: 1 errors, 0 warnings, 0 infos" in out


def test_convert_lists_what_it_left_out_and_exits_with_0(source, tmp_path, capsys):
    xml = source / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("<name>", "<truncated>1</truncated><name>"))
    assert run_command(["data", "convert", str(source), str(tmp_path / "out"), "--to", "yolo", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["pictures"], document["objects"], document["format"]) == (4, 5, "yolo")
    assert [(entry["what"], entry["count"]) for entry in document["left_out"]] == [
        ("truncated flags; the objects are kept", 1)
    ]
    assert run_command(["data", "convert", str(source), str(tmp_path / "out"), "--to", "coco"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert run_command(["data", "convert", str(source), str(tmp_path / "new"), "--to", "kitti"]) == 2


def test_a_split_is_read_back_with_split_file(source, tmp_path, capsys):
    out = tmp_path / "split"
    assert run_command(["data", "split", str(source), "--out", str(out), "--fractions", "0.5,0.5", "--json"]) == 0
    splits = json.loads(capsys.readouterr().out)["splits"]
    assert sorted(splits["train"] + splits["val"]) == ["a", "b", "c", "d"]
    assert json.loads((out / "split.json").read_text()) == splits
    assert (out / "train.txt").read_text().split() == splits["train"]
    run_command(["data", "check", str(source), "--split-file", str(out / "split.json"), "--json"])
    assert json.loads(capsys.readouterr().out)["counts"]["splits"] == {"train": 2, "val": 2}


def test_stats_writes_its_page_and_refuses_a_folder(source, tmp_path, capsys):
    page = tmp_path / "stats.html"
    assert run_command(["data", "stats", str(source), "--out", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 4  # the empty box is not counted
    assert page.read_text().startswith("<!doctype html>")
    assert run_command(["data", "stats", str(source), "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("command", ["check", "convert", "split", "stats"])
def test_a_source_that_is_not_there_is_one_line_and_exit_1(tmp_path, capsys, command):
    arguments = {"convert": [str(tmp_path / "o"), "--to", "voc"], "check": []}.get(
        command, ["--out", str(tmp_path / "o")]
    )
    assert run_command(["data", command, str(tmp_path / "gone"), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"vedette: {tmp_path / 'gone'} does not exist\n"


def test_class_order_is_given_by_names_or_a_file(source, tmp_path, capsys):
    (tmp_path / "my.names").write_text("dog\ncat\n")
    for classes in ("dog,cat", str(tmp_path / "my.names")):
        run_command(["data", "check", str(source), "--classes", classes, "--json"])
        assert list(json.loads(capsys.readouterr().out)["classes"]) == ["dog", "cat"]


@pytest.fixture
def manifest(tmp_path):
    """A Ground Truth manifest of one good line, one broken and one that nobody labelled; the picture lies elsewhere."""
    write_picture(tmp_path / "photos" / "a.jpg")
    metadata = {"class-map": {"3": "dog"}, "type": "groundtruth/object-detection"}
    label = {
        "image_size": [{"width": 40, "height": 30, "depth": 3}],
        "annotations": [{"class_id": 3, "left": 1, "top": 2, "width": 12, "height": 13}],
    }
    lines = [
        json.dumps({"source-ref": "s3://bucket/in/a.jpg", "boxes": label, "boxes-metadata": metadata}),
        "{",
        json.dumps({"source-ref": "s3://bucket/in/b.jpg"}),
    ]
    path = tmp_path / "labels" / "output.manifest"
    path.parent.mkdir()
    path.write_text("\n".join(lines))
    return path


def test_convert_takes_a_manifest_and_names_each_line_that_it_cannot_use(manifest, tmp_path, capsys):
    where = f"s3://bucket/in={tmp_path / 'photos'}"
    assert run_command(["data", "convert", str(manifest), str(tmp_path / "no"), "--to", "voc"]) == 1
    assert "--map" in capsys.readouterr().err
    out = tmp_path / "voc"
    assert run_command(["data", "convert", str(manifest), str(out), "--to", "voc", "--map", where, "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["pictures"], document["objects"], document["classes"]) == (1, 1, ["dog"])
    assert [problem["message"].split()[1] for problem in document["problems"]] == ["2", "3"]
    assert "output.manifest: line 2 is no JSON" in printed.err
    assert "output.manifest: line 3 is not labelled; 's3://bucket/in/b.jpg' is left out" in printed.err
    assert run_command(["data", "check", str(out)]) == 0


def test_wrong_mappings_and_repairs_of_manifests_are_refused(manifest, tmp_path, capsys):
    for text in ("s3://bucket", "=photos", f"s3://bucket/in={tmp_path / 'none'}"):
        assert run_command(["data", "check", str(manifest), "--map", text]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert run_command(["data", "check", str(manifest), "--repair", "clip"]) == 2
    assert "does not write manifests" in capsys.readouterr().err
