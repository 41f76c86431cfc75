"""`vedette jetson provision`: the plan for every board, what is seen as done where, and a step done and checked."""

import json
from pathlib import Path
from typing import Any

import pytest

from box_images import IMAGES, write_image
from vedette.apps.cli import run_command
from vedette.edge.jetson import provisioning
from vedette.edge.jetson.boards import CHIPS, stack_of
from vedette.edge.jetson.provisioning import BOARDS, Step, Where, flash_command, plan_steps


def plan(capsys: pytest.CaptureFixture[str], board: str, root: Path, *flags: str) -> dict[str, dict[str, Any]]:
    assert run_command(["jetson", "provision", "--board", board, "--root", str(root), "--json", *flags]) == 0
    return {step["name"]: step for step in json.loads(capsys.readouterr().out)["steps"]}


def write(root: Path, path: str, text: str) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("sdk_manager", [1, 2])
def test_every_board_has_a_plan_that_ends_with_a_service(name: str, sdk_manager: int) -> None:
    board = BOARDS[name]
    steps = plan_steps(board, board.jetpack, sdk_manager)
    assert [step.name for step in steps][-4:] == ["clock", "sample", "vedette", "service"]
    assert board.jetpack in {chip.last_jetpack for chip in CHIPS.values()}
    flash = next(step for step in steps if step.name == "flash")
    assert f"--version {board.jetpack}" in flash.commands[0] and board.target in flash.commands[0]
    packages = next(step for step in steps if step.name == "packages")
    stack = stack_of(board.jetpack)
    assert stack is not None and f"deepstream-{stack.deepstream}" in packages.commands[1]
    assert len({step.name for step in steps}) == len(steps)


def test_the_command_line_of_sdk_manager_changed_with_2() -> None:
    nano = BOARDS["jetson-nano"]
    assert flash_command(nano, "4.6.1", 1) == (
        "sdkmanager --cli install --logintype devzone --product Jetson --targetos Linux --version 4.6.1 "
        "--target JETSON_NANO_TARGETS --flash all"
    )
    newer = flash_command(nano, "4.6.6", 2)
    assert "--action install" in newer and "--archived-versions true" in newer and "--flash --license accept" in newer
    assert "--archived-versions" not in flash_command(BOARDS["orin-nano"], "6.2", 2)


def test_a_host_sees_its_own_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "etc/os-release", 'PRETTY_NAME="Ubuntu 20.04.6 LTS"\n')
    write(tmp_path, "proc/cpuinfo", "flags : fpu hypervisor lahf_lm\n")
    steps = plan(capsys, "jetson-nano", tmp_path)
    assert steps["host"]["state"] == "done"
    assert steps["virtual-machine"]["state"] == "to do" and "xHCI" in steps["virtual-machine"]["words"]
    assert steps["recovery"]["state"] == "to do" and "no device of vendor 0955" in steps["recovery"]["words"]
    assert steps["packages"]["words"] == "to be seen on the box"

    write(tmp_path, "proc/cpuinfo", "flags : fpu lahf_lm\n")
    write(tmp_path, "usr/bin/sdkmanager", "")
    write(tmp_path, "sys/bus/usb/devices/1-1/idVendor", "0955\n")
    write(tmp_path, "sys/bus/usb/devices/1-1/idProduct", "7020\n")
    steps = plan(capsys, "jetson-nano", tmp_path)
    assert [steps[name]["state"] for name in ("virtual-machine", "sdk-manager")] == ["done", "done"]
    assert "0955:7020 is no Jetson Nano" in steps["recovery"]["words"]
    write(tmp_path, "sys/bus/usb/devices/1-1/idProduct", "7f21\n")
    assert plan(capsys, "jetson-nano", tmp_path)["recovery"]["state"] == "done"
    assert plan(capsys, "orin-nano", tmp_path, "--jetpack", "6.2")["host"]["state"] == "done"
    assert plan(capsys, "orin-nano", tmp_path)["host"]["state"] == "to do"  # JetPack 7 needs a newer host


def test_a_box_sees_its_own_steps_and_the_commands_for_its_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path, IMAGES["nano-4.6"])
    steps = plan(capsys, "jetson-nano", tmp_path)
    assert steps["flash"]["words"] == "to be seen on the host"
    assert steps["first-boot"]["words"] == "JetPack 4.6 runs here, 4.6.6 is planned"
    assert steps["packages"]["state"] == "done"
    assert (steps["power"]["state"], steps["power"]["commands"]) == ("to do", ["sudo nvpmodel -m 0"])
    assert any("fallocate" in command for command in steps["swap"]["commands"])
    assert steps["service"]["state"] == "to do"
    assert "source8_1080p" in steps["sample"]["commands"][0] and steps["sample"]["proof"] == r"\*\*PERF"
    assert not any("'vedette[edge]'" in command for command in steps["vedette"]["commands"])  # no PyAV for its glibc
    assert plan(capsys, "jetson-nano", tmp_path, "--jetpack", "4.6")["first-boot"]["state"] == "done"


def test_the_plan_for_people_holds_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["jetson", "provision", "--board", "agx-thor"]) == 0
    told = capsys.readouterr().out
    assert "Jetson AGX Thor, JetPack 7.2" in told
    assert "14. [?] service, on the box" in told
    assert "$ sdkmanager --cli --action install" in told


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--board", "raspberry"], "there is no board 'raspberry'; boards: jetson-nano"),
        (["--board", "agx-orin", "--jetpack", "9.9"], "JetPack 9.9 is none that Vedette knows"),
        (["--board", "jetson-nano", "--jetpack", "5.1"], "does not run on the Jetson Nano developer kit; 4.6.6 is its"),
        (["--board", "agx-orin", "--run", "sdk-manager", "--root", "."], "leave --root out"),
        (["--board", "agx-orin", "--run", "nothing"], "there is no step 'nothing'; steps: host"),
        (["--board", "agx-orin", "--run", "packages"], "to be seen on the box"),
        (["--board", "agx-orin", "--run", "sd-first"], "it is for hands"),
    ],
)
def test_what_cannot_be_is_one_sentence(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["jetson", "provision", *flags]) == 2
    assert words in capsys.readouterr().err


def test_a_root_that_is_none_is_no_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["jetson", "provision", "--board", "agx-orin", "--root", str(tmp_path / "none")]) == 1
    assert "none: is no folder; give the root of a box's files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("echo '**PERF:  30.02 (30.01)'", 0, "ok: the sample"),
        ("echo 'App run failed'", 1, "did not print what proves it"),
        ("exit 3", 1, "failed with exit code 3 at: exit 3"),
    ],
)
def test_a_step_is_done_and_proved(
    command: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Step("sample", Where.HOST, "the sample", (), ("true", command), (), r"\*\*PERF")
    monkeypatch.setattr(provisioning, "plan_steps", lambda *_: [step])
    assert run_command(["jetson", "provision", "--board", "agx-orin", "--run", "sample"]) == code
    told = capsys.readouterr()
    assert words in told.out + told.err
    assert "$ true" in told.out
