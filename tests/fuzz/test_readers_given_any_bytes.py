"""Files from strangers end in a result or a documented refusal, within a second. `make fuzz` looks longer."""

import json
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_targets import MOST_SECONDS, TARGETS, SlowReadError, Target

from vedette.apps.model import count_classes
from vedette.contracts.errors import InputError
from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import read_names

relaxed = settings(suppress_health_check=list(HealthCheck), max_examples=150, deadline=None, database=None)

NUMBERS = ["0", "1", "-1", "2", "32", "416", "2147483647", "2147483648", "-5", "1e999", "nan", "", "#", "٣", "9" * 5000]
CFG_LINES = st.one_of(
    st.sampled_from([f"[{word.strip('[]')}]" for word in TARGETS["cfg"].words if word.startswith("[")]),
    st.builds(
        "{}={}".format,
        st.sampled_from([word.partition("=")[0] for word in TARGETS["cfg"].words if "=" in word]),
        st.one_of(
            st.sampled_from([*NUMBERS, "linear", "leaky", "mish"]),
            st.lists(st.integers(-9, 9).map(str), max_size=8).map(",".join),
        ),
    ),
    st.text(max_size=12),
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.integers(10**300, 10**310)
)
COCO_KEYS = ["id", "image_id", "category_id", "file_name", "width", "height", "bbox", "name", "iscrowd"]
COCO_ITEMS = st.lists(
    st.dictionaries(st.sampled_from(COCO_KEYS), st.one_of(LEAVES, st.lists(LEAVES, min_size=4, max_size=4))), max_size=4
)
XML_PARTS = st.lists(
    st.one_of(
        st.sampled_from([*TARGETS["voc"].words, "</object>", "</name>", "</bndbox>", "</xmin>", "<object/>", *NUMBERS]),
        st.text(max_size=6),
    ),
    max_size=20,
)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_of_every_reader_are_read(tmp_path, name):
    assert all(TARGETS[name].check(seed, tmp_path) for seed in TARGETS[name].seeds)


@pytest.mark.parametrize("name", TARGETS)
@relaxed
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path, name, data):
    target = TARGETS[name]
    content = bytearray(data.draw(st.sampled_from(target.seeds)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        removed = data.draw(st.integers(0, 12))
        words = st.sampled_from([word.encode("latin-1") for word in target.words])
        content[start : start + removed] = data.draw(st.one_of(st.binary(max_size=12), words))
    target.check(bytes(content), tmp_path)


@relaxed
@given(lines=st.lists(CFG_LINES, max_size=30))
def test_any_sections_and_options_are_planned_or_refused(tmp_path, lines):
    TARGETS["cfg"].check("\n".join(["[net]", "width=64", "height=64", "channels=3", *lines]).encode(), tmp_path)


@relaxed
@given(
    version=st.tuples(*[st.integers(-(2**31), 2**31 - 1) | st.integers(0, 5)] * 3),
    seen=st.binary(min_size=4, max_size=8),
    values=st.lists(st.floats(width=32), max_size=30),
)
def test_any_header_and_values_are_read_or_refused(tmp_path, version, seen, values):
    TARGETS["weights"].check(struct.pack("<iii", *version) + seen + struct.pack(f"<{len(values)}f", *values), tmp_path)


@relaxed
@given(parts=XML_PARTS, closed=st.booleans())
def test_any_elements_are_read_or_refused(tmp_path, parts, closed):
    text = "<annotation>" + "".join(parts) + ("</annotation>" if closed else "")
    TARGETS["voc"].check(text.encode("utf-8", errors="replace"), tmp_path)


@relaxed
@given(document=st.fixed_dictionaries(dict.fromkeys(("images", "annotations", "categories"), COCO_ITEMS)))
def test_any_values_in_cocos_keys_are_read_or_refused(tmp_path, document):
    TARGETS["coco"].check(json.dumps(document).encode(), tmp_path)


def test_the_check_finds_what_it_looks_for(tmp_path):
    def raises(error: Exception) -> Target:
        def read(content, folder) -> None:
            raise error

        return Target(read, (ValueError,), (), ())

    assert raises(ValueError("one line")).check(b"", tmp_path) is False
    with pytest.raises(AssertionError, match="not one line"):
        raises(ValueError("two\nlines")).check(b"", tmp_path)
    with pytest.raises(KeyError):
        raises(KeyError("other")).check(b"", tmp_path)


def test_the_check_finds_what_is_slow(tmp_path, monkeypatch):
    monkeypatch.setattr("reader_targets.MOST_SECONDS", -1.0)
    with pytest.raises(SlowReadError):
        TARGETS["cfg"].check(b"", tmp_path)


def test_a_long_list_of_names_with_many_twice_is_refused_within_a_second(tmp_path):
    names = tmp_path / "long.names"
    names.write_text("".join(f"{number % 60_000}\n" for number in range(120_000)))
    began = time.process_time()
    with pytest.raises(DataError, match="names a class twice: 0, 1, 10, 100, 1000 and 59995 more"):
        read_names(names)
    with pytest.raises(InputError, match="stand there twice: 0, 1, 10, 100, 1000"):
        count_classes(str(names))
    assert time.process_time() - began < 2 * MOST_SECONDS
