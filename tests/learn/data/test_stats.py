"""The page holds true numbers, everything inside one file, and nothing that a stranger's file name could inject."""

import re

import numpy as np
import pytest

from label_sets import write_picture, write_voc
from vedette.learn.data.errors import DataError
from vedette.learn.data.reading import inspect_data_set, read_data_set
from vedette.learn.data.stats import GRID, choose_examples, measure_data_set
from vedette.learn.data.stats_page import render_stats_page, write_stats_page


def test_numbers_are_those_of_the_usable_objects(tmp_path):
    samples = {
        "a": [("dog", (1, 1, 20, 15)), ("dog", (5, 5, 5, 5))],
        "b": [("cat", (21, 16, 40, 30)), ("dog", (1, 1, 40, 30))],
        "c": [],
    }
    stats = measure_data_set(read_data_set(write_voc(tmp_path, samples, {"train": ["a"], "val": ["b", "c"]})))
    assert [(c.name, c.objects, c.pictures, c.by_split) for c in stats.classes] == [
        ("cat", 1, 1, (0, 1)),
        ("dog", 2, 2, (1, 1)),
    ]
    assert (stats.unusable, stats.unreadable) == (1, 0)
    assert stats.sizes_wh_px.tolist() == [[20, 15], [20, 15], [40, 30]]
    assert stats.objects_by_picture.tolist() == [1, 2, 0]
    assert stats.picture_sizes == ((40, 30, 3),)
    half = GRID // 2
    assert np.allclose(stats.coverage[:half, :half], 2 / 3)  # the whole picture, and the box top left
    assert np.allclose(stats.coverage[half:, :half], 1 / 3)
    assert np.allclose(stats.coverage[half:, half:], 2 / 3)


def test_examples_show_every_class_that_twelve_pictures_can(tmp_path):
    samples = {f"p{n:02}": [("common", (1, 1, 20, 15))] for n in range(30)}
    samples["p29"] = [("rare", (1, 1, 20, 15))]
    samples["p28"] = [("odd", (1, 1, 20, 15)), ("common", (1, 1, 9, 9))]
    chosen = choose_examples(measure_data_set(read_data_set(write_voc(tmp_path, samples))), 12)
    assert len(chosen) == len({m.sample.name for m in chosen}) == 12
    assert {o.class_name for m in chosen for o in m.objects} == {"common", "rare", "odd"}


def test_the_page_is_one_file_without_scripts_or_requests_and_escapes_names(tmp_path):
    name = '&lt;script&gt;alert(1)&lt;/script&gt; $x$ "naïve" 犬'
    write_voc(tmp_path / "<b>set", {"a": [(name, (1, 1, 20, 15))], "<img src=x>": [(name, (1, 1, 9, 9))]})
    page = tmp_path / "new" / "stats.html"
    write_stats_page(measure_data_set(read_data_set(tmp_path / "<b>set")), page)
    text = page.read_text()
    assert "<script" not in text
    assert "<b>set" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x$ &#34;naïve&#34; 犬" in text
    assert set(re.findall(r"""(?:src|href)\s*=\s*["']?([a-z]+:)""", text)) == {"data:"}
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert text.count("data:image/png") == 5
    assert text.count("data:image/jpeg") == 2
    assert [path.name for path in page.parent.iterdir()] == ["stats.html"]


def test_a_data_set_without_objects_or_with_broken_pictures_still_has_a_page(tmp_path):
    write_voc(tmp_path, {"a": [], "b": [("dog", (1, 1, 9, 9))]})
    (tmp_path / "JPEGImages" / "b.jpg").write_bytes(b"broken")
    text = render_stats_page(measure_data_set(inspect_data_set(tmp_path).data))
    assert "unreadable pictures, not counted" in text
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match="none of its 2 pictures can be read"):
        measure_data_set(inspect_data_set(tmp_path).data)


def test_tiny_and_single_objects_do_not_break_a_chart(tmp_path):
    write_voc(tmp_path, {"a": [("dog", (1, 1, 2, 3))]})
    write_picture(tmp_path / "JPEGImages" / "a.jpg", 3, 4)
    assert render_stats_page(measure_data_set(read_data_set(tmp_path))).count("data:image/png") == 5
