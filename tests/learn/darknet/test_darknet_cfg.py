"""AlexeyAB's grammar (facts 1.1), and what is refused instead of guessed."""

import pytest

from vedette.learn.darknet.cfg import MAX_CFG_BYTES, parse_cfg, read_cfg
from vedette.learn.darknet.errors import CfgError

NET = "[net]\nwidth=32\n"


def first_layer(body: str):
    return parse_cfg(NET + "[convolutional]\n" + body).layers[0]


def test_blanks_are_deleted_everywhere_also_inside_values():
    section = first_layer(" anchors = 10, 14,\t 23 , 27 \r\n")

    assert section.numbers("anchors") == (10.0, 14.0, 23.0, 27.0)


def test_first_of_duplicate_keys_wins():
    assert first_layer("filters=3\nfilters=4\n").integer("filters", 1) == 3


def test_comments_open_only_at_the_start_of_a_line():
    section = first_layer("# filters=1\n;filters=2\nfilters=255 # three heads\nname=a#b\n")

    assert section.integer("filters", 1) == 255  # as atoi stops at the first sign that is no digit
    assert section.text("name", "") == "a#b"


def test_lists_end_at_a_comment():
    assert first_layer("mask = 0,1,2 # small\n").integers("mask") == (0, 1, 2)


@pytest.mark.parametrize(("text", "value"), [("+1", 1), ("-4", -4), ("2.9", 2), ("007", 7)])
def test_integers_are_read_as_atoi_reads_them(text, value):
    assert first_layer(f"filters={text}\n").integer("filters", 0, minimum=-10) == value


@pytest.mark.parametrize(("text", "value"), [(".1", 0.1), ("1e-3", 0.001), ("+2.", 2.0), ("-.5e1x", -5.0)])
def test_numbers_are_read_as_atof_reads_them(text, value):
    assert first_layer(f"scale={text}\n").number("scale", 0) == value


def test_a_line_without_a_value_is_ignored_with_a_warning():
    cfg = parse_cfg(NET + "[convolutional]\nfilters=\nsize\nsize=3\nfilters=8\n", "my.cfg")

    assert cfg.layers[0].integer("filters", 1) == 8  # Darknet skips `filters=`
    assert cfg.layers[0].integer("size", 1) == 1  # but `size` stands there first, with no value, and hides `size=3`
    assert [warning.partition(": ")[0] for warning in cfg.warnings] == ["my.cfg, line 4", "my.cfg, line 5"]


def test_lines_are_counted_from_one_and_named():
    section = first_layer("\n\nfilters=abc\n")

    with pytest.raises(CfgError, match=r"cfg, line 6, \[convolutional\]: filters=abc needs a whole number"):
        section.integer("filters", 1)


@pytest.mark.parametrize("text", ["99999999999999999999", "2147483648", "-2147483649"])
def test_integers_beyond_darknets_are_refused(text):
    with pytest.raises(CfgError, match="too large"):
        first_layer(f"filters={text}\n").integer("filters", 1)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "x"])
def test_numbers_that_are_not_finite_are_refused(text):
    with pytest.raises(CfgError, match="finite"):
        first_layer(f"scale={text}\n").number("scale", 1)


@pytest.mark.parametrize("body", ["layers=-1,,2\n", "layers=-1,\n"])
def test_an_empty_item_of_a_list_is_refused(body):
    with pytest.raises(CfgError, match="whole number"):
        first_layer(body).integers("layers")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no section"),
        ("# nothing\n", "no section"),
        ("[convolutional]\nfilters=1\n", r"line 1, .*first section must be \[net\]"),
        ("width=3\n[net]\n", "line 1: 'width=3' stands before the first section"),
        ("[net]\nwidth=3\n", "no layer follows"),
        ("[net]\n\0\0", "binary"),
        ("[net]\n" + "[route]\n" * 5000, "more than 4096 sections"),
    ],
)
def test_what_is_no_cfg_is_refused(text, message):
    with pytest.raises(CfgError, match=message):
        parse_cfg(text)


def test_a_byte_order_mark_and_comments_in_any_encoding_do_no_harm(tmp_path):
    path = tmp_path / "marked.cfg"
    path.write_bytes(b"\xef\xbb\xbf[net]\r\n# gr\xf6\xdfe\r\nwidth=64\r\n[route]\r\nlayers=0\r\n")

    assert read_cfg(path).net.integer("width", 0) == 64


def test_a_flood_of_lines_that_are_no_options_is_refused():
    assert len(parse_cfg("[net]\n" + "a\n" * 1000 + "[route]\n").warnings) == 1000
    with pytest.raises(CfgError, match="line 1002: more than 1000 lines that are no options"):
        parse_cfg("[net]\n" + "a\n" * 1001 + "[route]\n")


def test_files_that_cannot_be_a_cfg_are_refused_unread(tmp_path):
    large = tmp_path / "large.cfg"
    large.write_bytes(b"#" * (MAX_CFG_BYTES + 1))

    for path, message in (
        (large, "larger than 1 MiB"),
        (tmp_path / "no.cfg", "no such file"),
        (tmp_path, "not a file"),
    ):
        with pytest.raises(CfgError, match=message):
            read_cfg(path)
