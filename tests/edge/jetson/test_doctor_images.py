"""The look at a box, on images of every JetPack generation and of boxes that lack something."""

import platform
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from box_images import IMAGES, write_image
from vedette.edge.jetson.boards import MODULES, board_of, jetpack_of, module_of, stack_of
from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.examining import Examination, examine
from vedette.edge.jetson.power import parse_modes, parse_query
from vedette.edge.jetson.provisioning import BOARDS


def finding(found: Examination, topic: str) -> tuple[str, str, str]:
    one = next(one for one in found.findings if one.topic == topic)
    return one.verdict.value, one.text, " && ".join(one.remedy)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_recognised(name: str, tmp_path: Path) -> None:
    found = examine(BoxFiles(write_image(tmp_path, IMAGES[name])))
    box, software = found.box.to_json(), found.software.to_json()
    assert box.get("is_jetson", found.box.is_jetson)
    for key, value in IMAGES[name].expected.items():
        if key in box:
            assert box[key] == value, key
        elif key in software:
            assert software[key] == value, key
        else:
            assert finding(found, key)[0] == value, key
    assert finding(found, "board")[0] == "good"
    assert finding(found, "codecs")[0] == "good"
    assert finding(found, "CUDA")[0] == "good"


def test_an_image_of_a_nano_names_every_gap_and_its_command(tmp_path: Path) -> None:
    found = examine(BoxFiles(write_image(tmp_path, IMAGES["nano-4.6"])))
    assert finding(found, "board")[1] == "Jetson Nano (4 GB, developer kit) (tegra210, SM 5.3)"
    assert finding(found, "JetPack")[::2] == (
        "note",
        "sudo sed -i 's/r32.6/r32.7/' /etc/apt/sources.list.d/nvidia-l4t-apt-source.list"
        " && sudo apt update && sudo apt full-upgrade",
    )
    assert finding(found, "power mode")[2] == "sudo nvpmodel -m 0"
    assert finding(found, "swap")[0] == "gap" and "fallocate" in finding(found, "swap")[2]
    assert finding(found, "clocks")[::2] == ("note", "sudo jetson_clocks")
    assert finding(found, "Python")[0] == "gap" and "3.6" in finding(found, "Python")[1]
    assert finding(found, "heat") == ("good", "AO-therm is the hottest with 40 °C", "")
    assert found.gaps >= 3


@pytest.mark.parametrize(
    ("gone", "topic", "command"),
    [
        ("usr/src/tensorrt", "TensorRT", "libnvinfer-bin"),
        ("opt/nvidia/deepstream", "DeepStream", "sudo apt install deepstream-7.1"),
        ("usr/local", "CUDA", "sudo apt install nvidia-jetpack"),
        ("usr/lib", "codecs", "nvidia-l4t-gstreamer"),
        ("var/lib/dpkg", "TensorRT", "sudo apt install nvidia-jetpack"),
        ("var/lib/dpkg", "GStreamer", "gstreamer1.0-plugins-bad"),
    ],
)
def test_what_is_missing_comes_with_the_command_that_mends_it(
    gone: str, topic: str, command: str, tmp_path: Path
) -> None:
    write_image(tmp_path, IMAGES["orin-nano-6.2"])
    assert finding(examine(BoxFiles(tmp_path)), topic)[0] == "good"
    shutil.rmtree(tmp_path / gone)
    verdict, _, remedy = finding(examine(BoxFiles(tmp_path)), topic)
    assert verdict == "gap" and command in remedy


def test_a_newer_jetpack_comes_by_packages_or_by_flashing(tmp_path: Path) -> None:
    xavier = examine(BoxFiles(write_image(tmp_path / "xavier", IMAGES["xavier-nx-5.1.4"])))
    assert finding(xavier, "JetPack")[::2] == ("note", "sudo apt update && sudo apt full-upgrade")
    orin = examine(BoxFiles(write_image(tmp_path / "orin", IMAGES["orin-nano-6.0"])))
    assert finding(orin, "JetPack")[::2] == ("note", "vedette jetson provision --board orin-nano")
    preview = replace(IMAGES["orin-nano-6.0"], release=(36, "2.0"))
    early = examine(BoxFiles(write_image(tmp_path / "early", preview)))
    assert finding(early, "JetPack")[0] == "gap" and "developer preview" in finding(early, "JetPack")[1]


def test_every_module_has_a_board_to_provision() -> None:
    boards = {board_of(module) for module in MODULES.values()}
    assert boards - {None} == set(BOARDS)
    assert [module for module in MODULES.values() if board_of(module) is None] == []


def test_heat_at_its_limit_or_a_cooling_device_at_work_is_throttling(tmp_path: Path) -> None:
    write_image(tmp_path, IMAGES["nano-4.6.6"])
    zone, device = tmp_path / "sys/class/thermal/thermal_zone1/temp", tmp_path / "sys/class/thermal/cooling_device1"
    zone.write_text("93500\n")
    assert finding(examine(BoxFiles(tmp_path)), "heat")[:2] == ("note", "close to throttling: CPU-therm at 94 of 97 °C")
    zone.write_text("97000\n")
    assert "throttling (CPU-therm at 97 °C, limit 97 °C)" in finding(examine(BoxFiles(tmp_path)), "heat")[1]
    assert finding(examine(BoxFiles(tmp_path)), "heat")[2] == "sudo jetson_clocks --fan"
    zone.write_text("50000\n")
    (device / "cur_state").write_text("2\n")
    assert "throttling (cpu-balanced at work)" in finding(examine(BoxFiles(tmp_path)), "heat")[1]


def test_programs_are_asked_where_they_may_be(tmp_path: Path) -> None:
    write_image(tmp_path, IMAGES["orin-nano-6.2"])
    answers = {
        "nvpmodel -q": "NVPM WARN: fan mode is not set!\nNV Power Mode: 15W\n0\n",
        "timedatectl status": "  System clock synchronized: no\n",
    }
    found = examine(BoxFiles(tmp_path), answers.get)
    assert finding(found, "power mode")[2] == "sudo nvpmodel -m 2"
    assert finding(found, "clock")[::2] == ("gap", "sudo timedatectl set-ntp true")
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    (tmp_path / "run/systemd/timesync/synchronized").write_text("")
    assert finding(examine(BoxFiles(tmp_path)), "clock")[0] == "good"


def test_a_folder_with_nothing_in_it_is_no_jetson_and_no_error(tmp_path: Path) -> None:
    found = examine(BoxFiles(tmp_path))
    assert not found.box.is_jetson
    assert finding(found, "memory")[0] == "unknown"


def test_this_computer_can_be_looked_at() -> None:
    found = examine(BoxFiles())
    assert re.match(r"\d+ MB, \d+ MB free", finding(found, "memory")[1])
    assert finding(found, "disk")[0] in {"good", "gap"}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells its release below /proc/sys")
def test_a_file_of_proc_sys_is_read_though_it_refuses_large_buffers() -> None:
    assert BoxFiles().text("/proc/sys/kernel/osrelease") == platform.release()


def test_a_long_file_is_read_whole(tmp_path: Path) -> None:
    text = "Package: one\n" * 50_000
    (tmp_path / "status").write_text(text)
    assert BoxFiles(tmp_path).text("/status") == text.rstrip()


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("32.3.1", "4.3"), ("32.5", "4.5"), ("32.5.0", "4.5"), ("32.7.6", "4.6.6"), ("35.1.0", "5.0.2"),
        ("35.6.4", "5.1.6"), ("36.4.0", "6.1"), ("36.4.7", "6.2.1"), ("38.2.0", "7.0"), ("38.2.2", "7.0"),
        ("38.4.0", "7.1"), ("39.2.0", "7.2"), ("99.1", None),
    ],
)  # fmt: skip
def test_l4t_tells_the_jetpack(l4t: str, jetpack: str | None) -> None:
    assert jetpack_of(l4t) == jetpack
    assert jetpack is None or stack_of(jetpack) is not None


@pytest.mark.parametrize(
    ("compatible", "module"),
    [
        ("nvidia,p3449-0000-b00+p3448-0000-b00", "Jetson Nano (4 GB, developer kit)"),
        ("nvidia,p3768-0000+p3767-0005-super", "Jetson Orin Nano 8GB (developer kit)"),
        ("nvidia,p3737-0000+p3701-0005", "Jetson AGX Orin"),
        ("nvidia,p2771-0000", None),
    ],
)
def test_the_part_number_tells_the_module(compatible: str, module: str | None) -> None:
    assert module_of(compatible) == module


def test_power_modes_are_read() -> None:
    assert parse_modes("< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n<POWER_MODEL ID=0 NAME=15W>") == {
        2: "MAXN_SUPER",
        0: "15W",
    }
    assert parse_query("NV Fan Mode:quiet\nNV Power Mode: MAXN\n0\n") == (0, "MAXN")
    assert parse_query("nonsense") is None


def test_links_of_an_image_never_leave_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/up").symlink_to("../../secret")
    (root / "etc/absolute").symlink_to(str(tmp_path / "secret"))
    (root / "etc/loop").symlink_to("loop")
    (root / "secret").write_text("inside")
    files = BoxFiles(root)
    assert files.text("/etc/up") == "inside"
    assert files.text("/etc/absolute") is None
    assert files.text("/etc/loop") is None
