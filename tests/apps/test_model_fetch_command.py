"""`vedette model fetch`, as a person calls it, with a catalogue of one small network on a loopback server."""

import hashlib
import json
import re
import struct

import numpy as np
import pytest

from simulators.file_server import FileServer
from vedette.apps import model_fetch
from vedette.apps.cli import run_command
from vedette.learn.darknet import public_weights
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.public_weights import Checksum, PublicFile, PublicNetwork

CFG = b"""[net]
width=32
height=32
channels=3
[convolutional]
filters=64
size=3
[convolutional]
filters=64
size=3
[convolutional]
filters=6
activation=linear
[yolo]
anchors=4,4
classes=1
num=1
"""
PARAMS = plan_network(parse_cfg(CFG.decode())).params
WEIGHTS = struct.pack("<iiiQ", 0, 2, 5, 64) + np.ones(PARAMS, "<f4").tobytes()
NAMES = b"bolt\n"
CONTENTS = {"small.cfg": CFG, "small.names": NAMES, "small.weights": WEIGHTS}


def published(name: str, url: str, summed: bool = True) -> PublicFile:
    content = CONTENTS[name]
    checksum = Checksum("sha256", hashlib.sha256(content).hexdigest(), "its author") if summed else None
    return PublicFile(name, (url + name,), len(content), checksum)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with FileServer() as running:
        running.files |= CONTENTS
        small = PublicNetwork(
            "small",
            "one class, for tests",
            published("small.weights", running.url(), summed=False),
            published("small.cfg", running.url()),
            published("small.names", running.url()),
        )
        monkeypatch.setattr(public_weights, "NETWORKS", {"small": small})
        yield running


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "vedette" / "weights" / "small"


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = run_command([str(argument) for argument in ("model", "fetch", *arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def held(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_weights_cfg_and_names_come_into_the_cache_and_are_described(server, folder, capsys):
    code, out, _ = run(capsys, "small", "--json")

    assert code == 0
    assert held(folder) == CONTENTS
    found = json.loads(out)
    assert (found["params"], found["backbone_layers"]) == (PARAMS, None)
    assert found["weights"] == str(folder / "small.weights")
    assert [row["proof"] for row in found["files"]] == ["SHA256 (its author)"] * 2 + ["size and structure"]
    assert found["files"][2]["how"] == f"downloaded from {server.url('small.weights')}"


def test_what_is_there_is_verified_and_not_downloaded_again(server, folder, capsys):
    assert run(capsys, "small")[0] == 0
    count = len(server.requests)

    code, out, _ = run(capsys, "small")

    assert (code, len(server.requests)) == (0, count)
    assert out.count("already there; verified by") == 3
    assert f"small: {PARAMS} parameters" in out


def test_what_is_there_and_is_not_the_published_file_is_refused(server, folder, capsys):
    folder.mkdir(parents=True)
    (folder / "small.cfg").write_text("[net]")

    code, _, err = run(capsys, "small")

    assert code == 1
    assert "small.cfg: has 5 bytes" in err
    assert "remove it to have it downloaded anew" in err
    assert held(folder) == {"small.cfg": b"[net]"}
    assert server.requests == []


def test_a_download_that_broke_off_goes_on(server, folder, capsys):
    server.manner("small.weights", close_after_bytes=100_000)
    code, _, err = run(capsys, "small")
    assert code == 1
    assert f"ended after 100000 of {len(WEIGHTS)} bytes" in err
    assert "the same command goes on from there" in err
    server.manner("small.weights")

    assert run(capsys, "small")[0] == 0

    assert server.requests[-1][:2] == ("small.weights", "bytes=100000-")
    assert held(folder) == CONTENTS


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda: WEIGHTS[:-4] + struct.pack("<f", np.nan), "layer 2 .* not finite"),
        (lambda: b"PK" + WEIGHTS[2:], "not a Darknet .weights file"),
        (lambda: WEIGHTS[:-4], "has [0-9]+ bytes, the published file has"),
    ],
    ids=["nan", "no weights", "short"],
)
def test_weights_without_a_checksum_are_held_against_their_cfg(server, folder, capsys, damage, words):
    server.files["small.weights"] = damage()

    code, _, err = run(capsys, "small")

    assert code == 1
    assert re.search(words, err.splitlines()[-1])
    assert "small.weights" not in held(folder)
    assert not [name for name in held(folder) if "part" in name]


def test_a_changed_cfg_is_refused_by_its_checksum(server, folder, capsys):
    server.files["small.cfg"] = CFG.replace(b"anchors=4,4", b"anchors=4,5")

    code, _, err = run(capsys, "small")

    assert code == 1
    assert "is not the published small.cfg: its SHA256 is" in err
    assert held(folder) == {}


def test_a_mirror_serves_the_same_files_under_the_same_checks(server, tmp_path, capsys):
    server.files |= {f"mirror/{name}": content for name, content in CONTENTS.items()}

    assert run(capsys, "small", "--url", server.url("mirror/"), "--out", tmp_path / "here")[0] == 0

    assert held(tmp_path / "here") == CONTENTS
    assert {path for path, _, _ in server.requests} == {f"mirror/{name}" for name in CONTENTS}


def test_offline_it_says_where_to_put_what_and_then_verifies_it(folder, capsys, monkeypatch, server, free_port):
    offline = f"http://127.0.0.1:{free_port}"

    code, _, err = run(capsys, "small", "--url", offline)

    assert code == 1
    assert "cannot reach 127.0.0.1" in err
    for name in CONTENTS:
        assert f"{name} (from {offline}/{name})" in err
    assert f"put into {folder}" in err
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    assert run(capsys, "small", "--url", offline)[0] == 0


def test_a_file_brought_by_hand_is_verified_and_taken(server, tmp_path, folder, capsys):
    brought = tmp_path / "stick"
    brought.mkdir()
    (brought / "downloaded(1).weights").write_bytes(WEIGHTS)
    (brought / "small.cfg").write_bytes(CFG)

    code, out, err = run(capsys, "small", "--from", brought / "downloaded(1).weights")

    assert code == 0
    assert held(folder) == {"small.cfg": CFG, "small.weights": WEIGHTS}
    assert "small.names does not lie beside the weights" in err
    assert "taken from" in out
    assert server.requests == []


def test_files_brought_by_hand_that_are_not_the_published_ones_change_nothing(server, tmp_path, folder, capsys):
    brought = tmp_path / "small.weights"
    brought.write_bytes(WEIGHTS[:-4] + struct.pack("<f", np.inf))
    code, _, err = run(capsys, "small", "--from", brought)
    assert code == 1
    assert "put small.cfg beside them (from http" in err
    (tmp_path / "small.cfg").write_bytes(CFG)

    code, _, err = run(capsys, "small", "--from", brought)

    assert code == 1
    assert "not finite" in err
    assert not folder.exists()


def test_the_list_names_what_each_file_is_known_by(server, capsys):
    code, out, _ = run(capsys, "--list", "--json")
    assert code == 0
    assert json.loads(out)[0] == {
        "name": "small",
        "about": "one class, for tests",
        "bytes": len(WEIGHTS),
        "proof": "size and structure",
        "files": {name: [server.url(name)] for name in ("small.cfg", "small.names", "small.weights")},
    }
    code, out, _ = run(capsys)
    assert (code, "size and structure" in out) == (0, True)
    assert server.requests == []


REFUSED = {
    "unknown": (("yolov9",), 2, "no public weights 'yolov9' are known here; there are small"),
    "list and name": (("small", "--list"), 2, "--list stands alone"),
    "no name": (("--url", "https://example.org"), 2, "give the NAME of what to fetch"),
    "mirror and file": (("small", "--url", "https://example.org", "--from", "a"), 2, "exclude each other"),
    "plain http": (("small", "--url", "http://example.org"), 2, "must begin with https"),
    "no file": (("small", "--from", "none.weights"), 1, "none.weights: no such file"),
}


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_use_is_one_message(server, folder, capsys, arguments, code, words):
    found, out, err = run(capsys, *arguments)

    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert words in err
    assert not folder.exists()
    assert server.requests == []


def test_a_relative_cache_home_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")

    assert model_fetch.cache_folder() == tmp_path / ".cache" / "vedette" / "weights"
