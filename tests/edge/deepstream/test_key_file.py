"""The reader of key files against a table of GLib's own answers, and against GLib itself where it is at hand."""

import math
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.edge.deepstream.errors import KeyFileError
from vedette.edge.deepstream.key_file import read_key_file
from vedette.edge.deepstream.key_values import ValueKind, escape_string, read_value

# What GLib 2.7x answers, taken down: text -> (group, keys) pairs, or None where it refuses the text.
LOADS = {
    "[a]\nk=1\n": [("a", ["k"])],
    "[a]\nk=1": [("a", ["k"])],
    " [a] \t\r\n k = 1\r\n": [("a", ["k"])],
    "[a]\nk=1\nk=2\n": [("a", ["k", "k"])],
    "[a]\nk=1\n[b]\nj=1\n[a]\nl=2\n": [("a", ["k", "l"]), ("b", ["j"])],
    "[a ]\n": [("a ", [])],
    "  # c\n\n[a]\n\n  # d\nk =1\n": [("a", ["k"])],
    "[a]\n;x=1\n": [("a", [";x"])],
    "[a]\nk[C]=1\nk[de]=2\nk=3\n": [("a", ["k[C]", "k"])],
    "[a]\nk[]=1\n": [("a", ["k[]"])],
    "": [],
    "[a]\n;x\n": None,
    "[a]\nk\n": None,
    "[a]\n=1\n": None,
    "[a] x\n": None,
    "[a]b]\n": None,
    "[]\n": None,
    "[a\tb]\n": None,
    "[a[b]\n": None,
    "[b=1\n": None,
    "[a]\n[b=1\n": None,
    "k=1\n[a]\n": None,
    "\ufeff[a]\n": None,
    "[a]\nEncoding=latin1\n": None,
    "[a]\nk[=1\n": None,
    "[a]\nk]=1\n": None,
    "[a]\nk[x y]=1\n": None,
    "[a]\nk[de]x=1\n": None,
}
REFUSED = "refused"
VALUES = [
    ("integer", "5", 5), ("integer", "5 ", 5), ("integer", "5 # c", 5), ("integer", "+5", 5), ("integer", "-5", -5),
    ("integer", "", REFUSED), ("integer", "0x10", REFUSED), ("integer", "1e3", REFUSED), ("integer", "5#", REFUSED),
    ("integer", "2147483648", REFUSED), ("integer", "-2147483648", -(2**31)), ("integer", "007", 7),
    ("boolean", "true", True), ("boolean", "1 ", True), ("boolean", "0", False), ("boolean", "false", False),
    ("boolean", "True", REFUSED), ("boolean", "yes", REFUSED), ("boolean", "", REFUSED), ("boolean", "1 # c", REFUSED),
    ("double", "0.5", 0.5), ("double", ".5", 0.5), ("double", "1e3", 1000.0), ("double", "0x1p3", 8.0),
    ("double", "0.5 ", REFUSED), ("double", "0.5f", REFUSED), ("double", "1;", REFUSED), ("double", "1_0", REFUSED),
    ("string", "x ", "x "), ("string", "x # c", "x # c"), ("string", "a\\sb\\\\", "a b\\"), ("string", "a\\x", REFUSED),
    ("string", "a\\", REFUSED), ("string", "", ""),
    ("string_list", "a;b;", ["a", "b"]), ("string_list", "a;b", ["a", "b"]), ("string_list", "a;b ", ["a", "b "]),
    ("string_list", "a\\;b;c", ["a;b", "c"]), ("string_list", "", []),
    ("integer_list", "1; 2;3", [1, 2, 3]), ("integer_list", "1;;2", REFUSED), ("double_list", "1;0.5;", [1.0, 0.5]),
    ("double_list", "1 ;2", REFUSED), ("uint64", "18446744073709551615", 2**64 - 1), ("uint64", "5 ", REFUSED),
]  # fmt: skip


def load(text: str) -> list[tuple[str, list[str]]] | None:
    try:
        file = read_key_file(text.encode(), "a.txt")
    except KeyFileError:
        return None
    return [(group, [entry.key for entry in file.entries if entry.group == group]) for group in file.groups]


def value(kind: str, raw: str) -> object:
    try:
        return read_value(ValueKind(kind), raw)
    except ValueError:
        return REFUSED


@pytest.mark.parametrize("text", LOADS)
def test_texts_are_taken_and_refused_as_glib_does(text: str) -> None:
    assert load(text) == LOADS[text]


@pytest.mark.parametrize(("kind", "raw", "expected"), VALUES)
def test_values_are_read_as_glib_reads_them(kind: str, raw: str, expected: object) -> None:
    assert value(kind, raw) == expected


def test_a_refused_text_is_told_with_its_line_and_a_remedy() -> None:
    with pytest.raises(KeyFileError, match=r"^app\.txt:3: '; off' is no comment here: only lines that begin with '#'"):
        read_key_file(b"[sink0]\nenable=1\n; off\n", "app.txt")


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    file = read_key_file(b"# one\r\n[a]\r\n\r\nk=1\r\n[b]\nj=2", "x")

    assert [(entry.key, entry.line) for entry in file.entries] == [("k", 4), ("j", 6)]
    assert file.groups == {"a": 2, "b": 5}


def test_the_last_of_keys_given_twice_counts() -> None:
    file = read_key_file(b"[a]\nk=1\n[b]\n[a]\nk=2\n", "x")

    entry = file.get("a", "k")
    assert entry is not None
    assert (entry.value, entry.line) == ("2", 5)
    assert file.get("b", "k") is None


def test_bytes_that_are_no_utf8_are_refused_as_strings_only() -> None:
    file = read_key_file(b"[a]\ns=caf\xe9\ni=4\n", "x")

    assert value("string", file.of_group("a")["s"].value) == REFUSED
    assert value("integer", file.of_group("a")["i"].value) == 4


@given(st.text(st.characters(exclude_characters="\0\x0b", exclude_categories=["Cs"]), max_size=20))
def test_an_escaped_string_reads_back_as_it_was(text: str) -> None:
    content = f"[a]\nk={escape_string(text)}\n".encode()

    if not set(text) & {"\x0c"}:
        assert value("string", read_key_file(content, "x").of_group("a")["k"].value) == text


def glib_value(file: object, kind: str, key: str) -> object:
    try:
        return file.get(kind, "a", key)  # type: ignore[attr-defined]
    except ValueError:
        return REFUSED


def same_as_glib(glib: ModuleType, text: str) -> None:
    try:
        theirs = glib.KeyFile(text)
    except ValueError:
        theirs = None
    ours = load(text)
    assert (ours is None) == (theirs is None), text
    if theirs is None or ours is None:
        return
    assert [(group, theirs.keys(group)) for group in theirs.groups()] == ours, text
    for key, entry in read_key_file(text.encode(), "x").of_group("a").items():
        for kind in ("integer", "boolean", "double", "string", "string_list"):
            expected, found = glib_value(theirs, kind, key), value(kind, entry.value)
            if isinstance(found, list) and "" in found:
                found = found[: found.index("")]  # the oracle stops at an empty item
            both_nan = all(isinstance(one, float) and math.isnan(one) for one in (expected, found))
            assert found == expected or both_nan, (text, kind)


@pytest.mark.real_data
def test_the_tables_here_are_glibs_answers(glib: ModuleType) -> None:
    for text in [*LOADS, *(f"[a]\nk={raw}\n" for _, raw, _ in VALUES)]:
        same_as_glib(glib, text)


LINES = st.one_of(
    st.sampled_from(["[a]", "[b]", "k=", "k =", "#", "[a ]", "k[C]=1", "k[de]=", "Encoding=UTF-8", "k=1;2;"]),
    st.text("abk[]=#;. \t\r\n\x0b\x0c\\01-é_@s", max_size=8),
)
NUMBERS = st.one_of(
    st.text("+-.0123456789eExXpPinfatyNAN( )_\x0b\t;\\s#true", max_size=6),
    st.floats().map(repr),
    st.integers().map(str),
)


@pytest.mark.real_data
@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(LINES, max_size=6).map("\n".join), NUMBERS.map(lambda raw: f"[a]\nk={raw}")))
def test_any_text_is_read_as_glib_reads_it(glib: ModuleType, text: str) -> None:
    same_as_glib(glib, text)
