"""The cache gives back exactly what was built here from exactly this, and says why it does not."""

import os
from pathlib import Path

import pytest

from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.tensorrt.cache import MOST_ENGINES, EngineCache

KEY = {"model": "a", "tensorrt": "8.2.1.8"}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    made = EngineCache(tmp_path / "engines")
    made.write("engine", KEY, b"an engine\n" * 100)
    return made


def test_what_was_kept_is_given_back(cache: EngineCache) -> None:
    assert cache.read("engine", dict(reversed(KEY.items()))).content == b"an engine\n" * 100
    place = cache.place("engine", KEY)
    assert (place.stat().st_mode & 0o777, cache.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in cache.folder.iterdir()] == [place.name]


def test_anything_else_in_the_key_is_another_engine(cache: EngineCache) -> None:
    for other in ({**KEY, "model": "b"}, {**KEY, "gpu": "x"}, {"model": "a"}):
        assert cache.read("engine", other).content is None
    assert cache.read("timing", KEY).content is None


def test_every_flipped_byte_and_every_cut_is_refused(cache: EngineCache) -> None:
    place = cache.place("engine", KEY)
    good = place.read_bytes()
    for number in range(0, len(good), 7):
        place.write_bytes(good[:number] + bytes([good[number] ^ 1]) + good[number + 1 :])
        found = cache.read("engine", KEY)
        assert found.content is None and found.refused is not None, number
        place.write_bytes(good[:number])
        assert cache.read("engine", KEY).content is None, number
    place.write_bytes(good + b"x")
    assert cache.read("engine", KEY).refused == f"{place}: is damaged"
    place.write_bytes(good)
    assert cache.read("engine", KEY).content is not None


def test_one_key_cannot_pass_for_another(cache: EngineCache) -> None:
    other = {**KEY, "model": "b"}
    cache.place("engine", KEY).rename(cache.place("engine", other))
    assert str(cache.read("engine", other).refused).endswith("is of something else")


def test_what_others_could_have_written_is_refused(cache: EngineCache) -> None:
    place = cache.place("engine", KEY)
    place.chmod(0o620)
    assert str(cache.read("engine", KEY).refused).endswith("others may write it")
    place.chmod(0o600)
    cache.folder.chmod(0o777)
    assert str(cache.read("engine", KEY).refused).endswith("others may write it")
    cache.folder.chmod(0o700)
    target = place.with_name("target")
    place.rename(target)
    place.symlink_to(target)
    assert cache.read("engine", KEY).content is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_another_user_is_refused(cache: EngineCache) -> None:
    os.chown(cache.place("engine", KEY), 4711, -1)
    assert str(cache.read("engine", KEY).refused).endswith("belongs to user 4711, who is not us")


def test_the_oldest_engines_go(cache: EngineCache) -> None:
    for number in range(MOST_ENGINES + 3):
        cache.write("engine", {"number": str(number)}, b"x")
        os.utime(cache.place("engine", {"number": str(number)}), (1000 + number, 1000 + number))
    assert len(list(cache.folder.iterdir())) == MOST_ENGINES
    assert cache.read("engine", {"number": "3"}).content is None
    assert cache.read("engine", {"number": "4"}).content == b"x"


def test_what_a_killed_process_left_goes_after_a_day(cache: EngineCache) -> None:
    old, new = cache.folder / ".old.part", cache.folder / ".new.part"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    cache.write("timing", KEY, b"x")
    assert not old.exists() and new.exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"the engine cannot be kept: .*XDG_CACHE_HOME"):
        EngineCache(tmp_path / "file" / "engines").write("engine", KEY, b"x")
