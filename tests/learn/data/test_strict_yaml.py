"""YAML that a person wrote: mistakes have their place, and nothing is taken silently."""

import re

import pytest

from vedette.learn.data.strict_yaml import YamlMistakeError, parse_strict_yaml


def test_what_is_right_is_read_as_it_stands() -> None:
    assert parse_strict_yaml(b"\xef\xbb\xbfa: {b: [1, 2.5, x]}\n# no more\nc: true\n") == {
        "a": {"b": [1, 2.5, "x"]},
        "c": True,
    }
    assert parse_strict_yaml(b"") is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [1, 2\nb: 3\n", "line 2, column 2: is no YAML: expected ',' or ']'"),
        (b"a: 1\nb: 'x\n", "line 3, column 1: is no YAML: found unexpected end of stream"),
        (b"a:\n\tb: 1\n", "line 2, column 1: a tab, where YAML allows none; write blanks"),
        (b"a: 1\n  b: 2\n", "line 2, column 4: is no YAML: mapping values are not allowed here (a key is written"),
        (b"a: 1\nb:2\nc: 3\n", "line 3, column 1: is no YAML: could not find expected ':' (a key is written"),
        (b"a: 1\nb:2\nc: 3\n", r"in what begins in line 2"),
        (b"a: 1\nb: 2\na: 3\n", "line 3, column 1: 'a' is given twice"),
        (b"g:\n  a: 1\n  a: 1\n", "line 3, column 3: 'a' is given twice"),
        (b"a: &x [1]\nb: *x\n", "line 2, column 4: holds an alias (*x); write the value out"),
        (b"a: 1\nb: 2023-13-41\n", "line 2, column 4: cannot be read (month must be in 1..12); put quotes around it"),
        (b"a: " + b"9" * 5000, "line 1, column 4: cannot be read"),
        (b"a: !!python/object/apply:os.getcwd []\n", "line 1, column 4: could not determine a constructor"),
        (b"[" * 100_000, "line 1, column 9: nested too deep"),
        (b"a: 1\nb: \xff\n", "line 2: is no UTF-8 text"),
        (b"a: 1\n\nb: \x00\n", "line 3: holds a character that YAML does not allow"),
        (b"? [a]\n: 1\n", "line 1, column 3: found unhashable key"),
    ],
)
def test_a_mistake_is_told_with_its_place(content: bytes, told: str) -> None:
    with pytest.raises(YamlMistakeError, match=re.escape(told)):
        parse_strict_yaml(content)
