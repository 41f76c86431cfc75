"""`vedette simulator` as a person meets it: a command in which AWS is this computer, its exit code, its end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ended_processes import wait_until_ended

SHOWN = "import json, os, sys; json.dump({**os.environ}, sys.stdout); sys.stdout.flush()"


def simulator(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "vedette", "simulator", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, **more},
    )  # fmt: skip


def test_a_command_sees_the_simulator_and_nothing_of_the_users_aws() -> None:
    done = simulator("--", sys.executable, "-c", SHOWN, AWS_PROFILE="mine", AWS_SESSION_TOKEN="secret", COLOUR="blue")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(seen)
    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    for name in ("_SAGEMAKER", "_S3", "_CLOUDWATCH_LOGS", "_STS"):
        assert seen[f"AWS_ENDPOINT_URL{name}"] == seen["AWS_ENDPOINT_URL"]
    assert (seen["COLOUR"], seen["BUCKET"]) == ("blue", "vedette-simulated")
    assert seen["ROLE"].startswith("arn:aws:iam::")
    assert ".dkr.ecr.us-east-1.amazonaws.com/vedette:" in seen["IMAGE"]


def test_vedette_itself_works_in_it_and_exit_codes_come_back() -> None:
    done = simulator("--", sys.executable, "-m", "vedette", "jobs", "show", "belt-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no job 'belt-1' in this account and region" in done.stderr
    assert simulator("--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_wrong_usage_is_one_line_and_starts_nothing() -> None:
    for arguments, message in [
        (["no-such-program"], "no-such-program cannot be run"),
        (["--interrupt-after-epoch", "0", "true"], "the first epoch is 1"),
        (["--grace", "soon", "true"], "soon"),
        (["--interupt", "true"], "--interupt"),
    ]:
        done = simulator(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert "Traceback" not in done.stderr


PATIENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
signal.signal(signal.SIGHUP, lambda *_: sys.exit(5))
try:
    sys.stdout.write("ready"); sys.stdout.flush()
    while True:
        signal.pause()
except KeyboardInterrupt:
    sys.exit(3)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 3), (signal.SIGTERM, 4), (signal.SIGHUP, 5)])
def test_ctrl_c_and_sigterm_are_for_the_command_and_leave_nothing(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette", "simulator", "--", sys.executable, "-c", PATIENT],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(5) == "ready"
    assert len([*tmp_path.iterdir()]) == 1
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to all of the foreground
    else:
        process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (code, "")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_while_it_starts_it_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # under nohup tests inherit, and hand on, that it is ignored
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette", "simulator", "--", "true"], env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    signal.signal(number, before)
    while not [*tmp_path.glob("*/moto.log")]:
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(120) == 128 + number
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are tied to their parents on Linux")
def test_killed_at_once_it_leaves_no_server_and_its_folder_to_the_next_one(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette", "simulator", "--", sys.executable, "-c", f"{SHOWN}; sys.stdin.read()"],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdout, process.stdin:
        assert process.stdout.read(1) == "{"
        servers = [
            child for child in psutil.Process(process.pid).children(recursive=True) if "moto.server" in child.cmdline()
        ]
        assert len(servers) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_ended(one.pid for one in servers)
    assert len([*tmp_path.iterdir()]) == 1
    assert simulator("--", "true", TMPDIR=str(tmp_path)).returncode == 0
    assert [*tmp_path.iterdir()] == []
