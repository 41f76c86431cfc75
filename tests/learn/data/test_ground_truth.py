"""Output manifests of Ground Truth: boxes exact, every bad line named with its number, names that lead nowhere else."""

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_sets import write_picture
from vedette.learn.data.check import check_data_set
from vedette.learn.data.convert import convert_data_set
from vedette.learn.data.errors import DataError
from vedette.learn.data.ground_truth import ManifestSettings
from vedette.learn.data.problems import Problem, ProblemKind
from vedette.learn.data.reading import inspect_data_set, read_data_set
from vedette.learn.data.samples import Layout

BOX = {"left": 3, "top": 4, "width": 10, "height": 12}


def entry(
    picture: str,
    annotations: list[dict[str, object]],
    class_map: dict[str, str],
    attribute: str = "boxes",
    **metadata: object,
) -> dict[str, object]:
    """One line as AWS documents it."""
    return {
        "source-ref": picture,
        attribute: {"image_size": [{"width": 40, "height": 30, "depth": 3}], "annotations": annotations},
        f"{attribute}-metadata": {
            "objects": [{"confidence": 0.8} for _ in annotations],
            "class-map": class_map,
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": "2018-10-18T22:18:13.527256",
            "job-name": "labelling-job/example",
            **metadata,
        },
    }


def write_manifest(folder: Path, lines: list[object], name: str = "output.manifest") -> Path:
    """Objects as JSON, texts and bytes as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        line
        if isinstance(line, bytes)
        else (line if isinstance(line, str) else json.dumps(line)).encode(errors="surrogatepass")
        for line in lines
    ]
    path = folder / name
    path.write_bytes(b"\n".join([*parts, b""]))
    return path


def told(problems: tuple[Problem, ...]) -> list[tuple[str, str]]:
    return [(problem.kind.value, problem.message) for problem in problems]


def test_boxes_are_exact_and_classes_stand_in_the_order_of_their_sparse_ids(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.jpg")
    write_manifest(
        tmp_path,
        [
            entry("s3://bucket/in/a.jpg", [{"class_id": 5, **BOX}], {"5": "bone"}),
            entry(
                "s3://bucket/in/b.jpg", [{"class_id": "0", **BOX}, {"class_id": 5, **BOX}], {"0": "dog", "5": "bone"}
            ),
        ],
    )
    data = read_data_set(tmp_path)
    assert (data.layout, data.classes) == (Layout.MANIFEST, ("dog", "bone"))
    assert [sample.name for sample in data.samples] == ["a", "b"]
    assert [[item.class_name for item in sample.objects] for sample in data.samples] == [["bone"], ["dog", "bone"]]
    assert data.samples[0].objects[0].box_xyxy_px == (3.0, 4.0, 13.0, 16.0)
    assert (data.samples[0].width_px, data.samples[0].height_px) == (40, 30)


def test_what_check_finds_in_pictures_and_boxes_names_the_line(tmp_path: Path) -> None:
    write_picture(tmp_path / "good.jpg")
    empty = {**BOX, "width": 0}
    write_manifest(
        tmp_path,
        [
            "",
            entry("s3://bucket/in/gone.jpg", [{"class_id": 1, **BOX}], {"1": "dog"}),
            entry("s3://bucket/in/good.jpg", [{"class_id": 1, **empty}], {"1": "dog"}),
        ],
    )
    found = check_data_set(inspect_data_set(tmp_path)).problems
    assert [problem.message.partition(":")[0] for problem in found] == [f"line {n} of the manifest" for n in (2, 3)]
    assert "its picture gone.jpg is not there" in found[0].message


def test_every_bad_line_is_reported_with_its_number_and_the_good_ones_are_converted(tmp_path: Path) -> None:
    good = write_picture(tmp_path / "photos" / "sub" / "good.jpg")
    manifest = write_manifest(
        tmp_path,
        [
            "\ufeff" + json.dumps(entry("s3://bucket/in/sub/good.jpg", [{"class_id": 1, **BOX}], {"1": "dog"})),
            "{broken",
            "",
            b'{"source-ref": "\xff"}',
            "[1, 2]",
            {"boxes": {}},
            {"source-ref": "s3://bucket/in/never.jpg"},
            {
                "source-ref": "s3://bucket/in/late.jpg",
                "boxes-metadata": {"type": "groundtruth/object-detection", "failure-reason": "timed out"},
            },
            {"source-ref": "s3://bucket/in/odd.jpg", "boxes": [1]},
            entry("s3://bucket/in/sub/good.jpg", [], {}),
            entry("s3://bucket/in/../../secret.jpg", [], {}),
            "[" * 100_000,
        ],
    )
    settings = ManifestSettings({"s3://bucket/in": tmp_path / "photos"})
    inspection = inspect_data_set(manifest, manifest=settings)
    assert [sample.picture for sample in inspection.data.samples] == [good]
    by_line = {int(problem.message.split()[1]): problem for problem in inspection.problems}
    assert list(by_line) == [2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert {line: by_line[line].kind for line in (7, 8)} == dict.fromkeys((7, 8), ProblemKind.UNLABELLED_PICTURE)
    assert by_line[4].message == "line 4 is not UTF-8 text (byte 16)"
    assert "timed out" in by_line[8].message
    assert "late.jpg" in by_line[8].message
    assert "as line 1 has" in by_line[10].message
    assert by_line[11].kind is ProblemKind.UNSAFE_NAME
    assert "no JSON" in by_line[12].message
    done = convert_data_set(inspection, tmp_path / "voc", Layout.VOC)
    assert (done.pictures, done.objects) == (1, 1)
    again = read_data_set(tmp_path / "voc")
    assert [(s.name, s.objects[0].box_xyxy_px) for s in again.samples] == [("sub/good", (3.0, 4.0, 13.0, 16.0))]
    with pytest.raises(DataError, match="line 2 is no JSON"):
        read_data_set(manifest, manifest=settings)


def test_objects_that_cannot_be_read_keep_their_places_and_are_reported(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg")
    objects: list[dict[str, object]] = [
        {"class_id": 7, **BOX},
        {"class_id": 0, **(BOX | {"left": "x"})},
        {"class_id": True, **BOX},
        {"class_id": 0, **BOX},
    ]
    manifest = write_manifest(tmp_path, [entry("a.jpg", objects, {"0": "dog", "1": "", "x": "cat"})])
    inspection = inspect_data_set(manifest)
    names = [item.class_name for item in inspection.data.samples[0].objects]
    assert names == ["", "dog", "", "dog"]
    assert [problem.object_index for problem in inspection.problems if problem.object_index is not None] == [0, 1, 2]
    assert sum("class map in which" in message for _, message in told(inspection.problems)) == 2
    done = convert_data_set(inspection, tmp_path / "out", Layout.COCO)
    assert done.objects == 1
    assert sum(left.count for left in done.left_out.values()) >= 3


def test_several_labels_of_boxes_need_a_name(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg")
    first = entry("a.jpg", [{"class_id": 0, **BOX}], {"0": "dog"})
    adjusted = entry("a.jpg", [{"class_id": 0, **(BOX | {"left": 5})}], {"0": "dog"}, attribute="adjusted")
    manifest = write_manifest(tmp_path, [first | adjusted])
    with pytest.raises(DataError, match=r"--attribute: boxes, adjusted"):
        read_data_set(manifest)
    data = read_data_set(manifest, manifest=ManifestSettings(attribute="adjusted"))
    assert data.samples[0].objects[0].box_xyxy_px == (5.0, 4.0, 15.0, 16.0)
    with pytest.raises(DataError, match="no label attribute 'wrong'; it has: boxes, adjusted"):
        read_data_set(manifest, manifest=ManifestSettings(attribute="wrong"))


def test_a_manifest_of_other_labels_is_refused(tmp_path: Path) -> None:
    kind = {"type": "groundtruth/text-classification"}
    manifest = write_manifest(tmp_path, [{"source-ref": "a.jpg", "topic": 1, "topic-metadata": kind}])
    with pytest.raises(DataError, match="its labels are groundtruth/text-classification"):
        read_data_set(manifest)


def test_an_absolute_path_of_another_machine_is_never_followed(tmp_path: Path) -> None:
    outside = write_picture(tmp_path / "outside" / "a.jpg")
    inside = write_picture(tmp_path / "set" / "deep" / "a.jpg")
    write_manifest(tmp_path / "set", [entry(str(outside), [], {}), entry("/elsewhere/deep/a.jpg", [], {"0": "dog"})])
    data = inspect_data_set(tmp_path / "set").data
    assert [sample.picture for sample in data.samples] == [tmp_path / "set" / "a.jpg", inside]


def test_the_longest_prefix_that_ends_at_a_folder_counts(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    for folder in (near, far):
        write_picture(folder / "a.jpg")
    manifest = write_manifest(
        tmp_path, [entry("s3://bucket/in/a.jpg", [], {"0": "dog"}), entry("s3://bucket/in/more/a.jpg", [], {})]
    )
    settings = ManifestSettings({"s3://bucket": far, "s3://bucket/in/more/": near, "s3://bucket/i": near})
    inspection = inspect_data_set(manifest, manifest=settings)
    assert [sample.picture for sample in inspection.data.samples] == [far / "in" / "a.jpg", near / "a.jpg"]


def test_two_manifests_in_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("train.manifest", "val.jsonl"):
        write_manifest(tmp_path, [entry("a.jpg", [], {"0": "dog"})], name)
    with pytest.raises(DataError, match=r"2 manifests, train\.manifest, val\.jsonl"):
        read_data_set(tmp_path)


def test_any_file_can_be_said_to_be_a_manifest(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg")
    path = write_manifest(tmp_path, [entry("a.jpg", [], {"0": "dog"})], "labels.json")
    assert [sample.name for sample in read_data_set(path, Layout.MANIFEST).samples] == ["a"]


WORDS = ("source-ref", "boxes", "boxes-metadata", "annotations", "image_size", "class-map", "type", "class_id", "left")
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["groundtruth/object-detection", "s3://bucket/a.jpg", "../a.jpg", "0", "\ud800"]),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)),
    max_leaves=12,
)
labels = st.fixed_dictionaries(
    {"annotations": st.one_of(anything, st.lists(anything, max_size=2))}, optional={"image_size": anything}
)
metadata = st.fixed_dictionaries({"type": st.just("groundtruth/object-detection")}, optional={"class-map": anything})
lines = st.one_of(
    anything,
    st.fixed_dictionaries(
        {"source-ref": st.one_of(anything, st.just("s3://b/a.jpg"))},
        optional={"boxes": labels, "boxes-metadata": metadata},
    ),
)


@settings(max_examples=150, deadline=None)
@given(content=st.lists(st.one_of(lines, st.binary(max_size=20)), min_size=1, max_size=4))
def test_no_manifest_makes_reading_fail_in_another_way(content: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(DataError):
        inspection = inspect_data_set(write_manifest(Path(folder), content))
        used = len(inspection.data.samples) + len({problem.message.split()[1] for problem in inspection.problems})
        assert used > 0
        assert all(sample.picture.is_relative_to(folder) for sample in inspection.data.samples)
