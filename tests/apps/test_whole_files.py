"""A file is written whole or not at all."""

from pathlib import Path

import pytest

from vedette.apps.whole_files import write_whole
from vedette.contracts.errors import InputError


def test_an_older_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_message_and_stays_as_it_was(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(InputError, match=r"taken: cannot be written: "):
        write_whole(taken, b"content")
    with pytest.raises(InputError, match=r"missing.file: cannot be written: "):
        write_whole(tmp_path / "missing" / "file", b"content")
    assert list(tmp_path.iterdir()) == [taken]
