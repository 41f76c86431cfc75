"""Splits keep each class's share, never part identical pictures, and depend on the seed alone."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_sets import write_voc
from vedette.learn.data.errors import DataError
from vedette.learn.data.reading import read_data_set
from vedette.learn.data.samples import DataSet, LabelledObject, Layout, Sample
from vedette.learn.data.split import parse_fractions, split_data_set


def unread_set(root, counts):
    """A data set whose pictures do not exist: a split needs only names and objects."""
    samples = tuple(
        Sample(
            f"p{number}",
            root / f"p{number}.jpg",
            40,
            30,
            tuple(LabelledObject(name, (0, 0, 9, 9)) for name in sorted(classes) for _ in range(classes[name])),
        )
        for number, classes in enumerate(counts)
    )
    names = sorted({name for classes in counts for name in classes})
    return DataSet(root, Layout.VOC, tuple(names), samples)


def test_every_class_keeps_its_share(tmp_path):
    counts = [Counter({"common": 1 + n % 7, "rare": int(n % 10 == 0)}) for n in range(200)]
    data = unread_set(tmp_path, [+c for c in counts])
    splits = split_data_set(data, {"train": 0.7, "val": 0.2, "test": 0.1}, seed=3)
    parted = replace(data, splits=splits)
    for split, share in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        seen = Counter(o.class_name for sample in parted.subset(split).samples for o in sample.objects)
        assert seen["rare"] == pytest.approx(20 * share, abs=1)
        assert seen["common"] == pytest.approx(sum(c["common"] for c in counts) * share, rel=0.03)
        assert len(splits[split]) == pytest.approx(200 * share, abs=6)


def test_the_seed_alone_decides(tmp_path):
    data = unread_set(tmp_path, [{"dog": 1 + n % 3} for n in range(50)])
    fractions = {"train": 0.8, "val": 0.2}
    assert split_data_set(data, fractions, 1) == split_data_set(data, fractions, 1)
    assert split_data_set(data, fractions, 1) != split_data_set(data, fractions, 2)
    turned = replace(data, samples=data.samples[::-1])
    assert {k: set(v) for k, v in split_data_set(turned, fractions, 1).items()} == {
        k: set(v) for k, v in split_data_set(data, fractions, 1).items()
    }


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 5)), min_size=3, max_size=40),
    seed=st.integers(0, 100),
)
def test_each_picture_is_in_exactly_one_split_and_none_is_empty(tmp_path_factory, counts, seed):
    data = unread_set(tmp_path_factory.getbasetemp() / "nothing", counts)
    splits = split_data_set(data, {"train": 0.8, "val": 0.1, "test": 0.1}, seed)
    assert sorted(name for names in splits.values() for name in names) == sorted(sample.name for sample in data.samples)
    assert all(splits.values())


@pytest.mark.parametrize("seed", range(8))
def test_identical_pictures_stay_together(tmp_path, seed):
    write_voc(tmp_path, {f"p{n}": [("dog", (1, 1, 9, 9))] for n in range(12)})
    pictures = tmp_path / "JPEGImages"
    for twin in ("p4", "p9", "p11"):
        (pictures / f"{twin}.jpg").write_bytes((pictures / "p0.jpg").read_bytes())
    splits = split_data_set(read_data_set(tmp_path), {"train": 0.5, "val": 0.5}, seed)
    assert len({split for split, names in splits.items() if {"p0", "p4", "p9", "p11"} & set(names)}) == 1


def test_too_few_pictures_are_refused(tmp_path):
    data = unread_set(tmp_path, [{"dog": 1}])
    with pytest.raises(DataError, match="1 different pictures cannot be parted into 2"):
        split_data_set(data, {"train": 0.5, "val": 0.5}, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.8,0.2", {"train": 0.8, "val": 0.2}),
        ("0.7, 0.2, 0.1", {"train": 0.7, "val": 0.2, "test": 0.1}),
        ("train=0.5,holdout=0.5", {"train": 0.5, "holdout": 0.5}),
    ],
)
def test_fractions_are_parsed(text, expected):
    assert parse_fractions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.8",
        "0.8,0.3",
        "1.2,-0.2",
        "nan,0.5",
        "a,b",
        "train=0.5,train=0.5",
        "../x=0.5,val=0.5",
        "0.25,0.25,0.25,0.25",
    ],
)
def test_fractions_that_part_nothing_are_refused(text):
    with pytest.raises(DataError):
        parse_fractions(text)
