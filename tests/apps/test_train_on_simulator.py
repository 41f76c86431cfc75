"""`vedette train --on simulator`, and the tutorial for AWS, whose commands are run as they stand."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import botocore.session
import jmespath
import pytest
from botocore import xform_name

from documented_commands import REPOSITORY, TUTORIAL, commands_of
from drawn_shapes import draw_data, write_cfg
from simulators import aws_tool
from vedette.learn.training.checkpoint import load_checkpoint

PATIENCE_S = 900
FAST = ("--batch", "4", "--device", "cpu", "--precision", "fp32")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of AWS that this computer has set; a cache of its own, one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ours = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    return {**kept, **ours, **more}


def vedette(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "vedette", *arguments], cwd=folder, env=environment(folder), capture_output=True,
        text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip


def names_of(run: Path) -> set[str]:
    return {path.name for path in run.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_a_rehearsed_job_leaves_the_run_that_training_here_leaves(tmp_path: Path) -> None:
    draw_data(tmp_path / "parts", 12)
    cfg = write_cfg(tmp_path)
    (tmp_path / "mine.yaml").write_text("learning_rate: 0.002\n")
    first = vedette(tmp_path, "train", "--data", "parts", "--model", cfg.name, "--epochs", "1", *FAST, "--out", "first")
    assert first.returncode == 0, first.stderr
    train = ("train", "--data", "parts", "--model", cfg.name, "--epochs", "2", "--seed", "3", *FAST,
             "--recipe", "mine.yaml", "--class-weights", "balanced", "--weights", "first/last.weights",
             "--freeze", "2", "--unfreeze-after", "1")  # fmt: skip

    here = vedette(tmp_path, *train, "--out", "here")
    rehearsed = vedette(tmp_path, *train, "--out", "there", "--on", "simulator", "--spot", "--max-wait", "2d")

    assert here.returncode == 0, here.stderr
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert names_of(tmp_path / "there") == names_of(tmp_path / "here") | {"bundle"}
    assert names_of(tmp_path / "there" / "checkpoints") == names_of(tmp_path / "here" / "checkpoints")
    kept, ours = (load_checkpoint(tmp_path / one) for one in ("there", "here"))
    assert kept.document["step"] == ours.document["step"] == 6
    assert {name: tuple(one.shape) for name, one in kept.tensors.items()} == {
        name: tuple(one.shape) for name, one in ours.tensors.items()
    }
    for name in ("best.weights", "model.cfg", "names.txt"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name
    told = rehearsed.stderr
    assert "layers 0 to 1 stay as they were loaded until epoch 2" in told
    assert "an object counts: " in told
    assert told.index("24 of 24 files sent") < told.index("job:  ") < told.index("epoch 2/2: 3/3 batches")
    assert "saved by spot machines" in rehearsed.stdout
    assert "cost" not in rehearsed.stdout
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".there")]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_ctrl_c_ends_a_rehearsal_with_what_was_learnt(tmp_path: Path) -> None:
    draw_data(tmp_path / "parts", 12)
    cfg = write_cfg(tmp_path)
    command = ["train", "--data", "parts", "--model", cfg.name, "--epochs", "100000", *FAST, "--on", "simulator"]
    with subprocess.Popen(
        [sys.executable, "-m", "vedette", *command, "--out", "run"], cwd=tmp_path, env=environment(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("epoch 3:"):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the foreground
                break
        rest = Thread(target=lambda: said.extend(process.stderr or ()))
        rest.start()
        told = process.stdout.read() if process.stdout is not None else ""
        rest.join()

    assert process.returncode == 130, "".join(said)
    assert "On SageMaker vedette-" in "".join(said)
    assert ": Stopped\n" in told
    assert {"best.weights", "bundle", "report.html"} <= names_of(tmp_path / "run")
    assert "resume: vedette train --out run --resume --data DATA\n" in told
    resumes_from_where_it_was(tmp_path)


def resumes_from_where_it_was(folder: Path) -> None:
    """Go on with the fetched run here, for an epoch, and stop."""
    before = load_checkpoint(folder / "run").document["step"]
    command = [sys.executable, "-m", "vedette", "train", "--out", "run", "--resume", "--data", "parts"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("epoch ") and any("resuming in" in one for one in said):
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr
    assert process.returncode == 130, "".join(said)
    epoch, batch = divmod(before, 2)  # batches of four; eight of the pictures train
    assert f"resuming in epoch {epoch + 1}, batch {batch + 1}\n" in said
    assert load_checkpoint(folder / "run").document["step"] > before


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_sigterm_leaves_nothing_of_a_rehearsal(tmp_path: Path) -> None:
    draw_data(tmp_path / "parts", 12)
    cfg, scratch = write_cfg(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    command = ["train", "--data", "parts", "--model", cfg.name, "--epochs", "100000", *FAST, "--on", "simulator"]
    with subprocess.Popen(
        [sys.executable, "-m", "vedette", *command, "--out", "run"], cwd=tmp_path,
        env=environment(tmp_path, TMPDIR=str(scratch)), stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Training: "):
                break
        there = [path.name for path in scratch.glob("vedette-simulator-*")]
        process.terminate()
        process.stderr.read()

    assert process.returncode == 128 + signal.SIGTERM
    assert len(there) == 1
    assert not [*scratch.iterdir()]


def test_a_rehearsal_cannot_be_left(tmp_path: Path) -> None:
    done = vedette(tmp_path, "train", "--data", "parts", "--out", "run", "--on", "simulator", "--detach")

    assert done.returncode == 2
    assert "the simulator ends with this command" in done.stderr


def test_what_the_tutorial_asks_of_quotas_is_what_aws_takes() -> None:
    """moto knows VPC's quotas only: flags are held against botocore's model, the query against an answer."""
    lines = commands_of(TUTORIAL, "").replace("\\\n", " ").splitlines()
    asked = [shlex.split(line)[2:] for line in lines if line.startswith("aws service-quotas ")]
    assert [operation for operation, *_ in asked] == ["list-service-quotas", "request-service-quota-increase"]
    model = botocore.session.Session().get_service_model("service-quotas")
    for operation, *flags in asked:
        (name,) = (one for one in model.operation_names if xform_name(one, "-") == operation)
        shape = model.operation_model(name).input_shape
        given = dict(zip(flags[::2], flags[1::2], strict=True))
        for_the_tool = {flag: given.pop(flag) for flag in ("--query", "--output") if flag in given}
        assert set(given) <= {"--" + xform_name(member, "-") for member in shape.members}, operation
        assert {"--" + xform_name(member, "-") for member in shape.required_members} <= set(given), operation
        if for_the_tool:
            quotas = [
                {"QuotaName": f"ml.{kind} for {use} usage", "Value": 0.0, "QuotaCode": f"L-{kind}-{use}"}
                for kind in ("g5.xlarge", "g5.2xlarge")
                for use in ("endpoint", "spot training job", "training job")
            ]
            found = jmespath.search(for_the_tool["--query"], {"Quotas": quotas})
            assert found == [[*one.values()] for one in quotas[1:3]]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_the_tutorial_goes_from_nothing_to_a_bundle(tmp_path: Path) -> None:
    draw_data(tmp_path / "parts", 8)
    shutil.copytree(REPOSITORY / "deploy" / "sagemaker", tmp_path / "deploy" / "sagemaker")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, arguments in {"vedette": "-m vedette", "aws": str(aws_tool.__file__)}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (tools / name).chmod(0o755)
    script = commands_of(TUTORIAL)
    assert script.count("epochs") == 2
    short = script.replace("--epochs 100", "--epochs 1 --size 96 --batch 2").replace(
        "epochs: 100", "epochs: 1, size: 96, batch: 2"
    )
    assert short.count("96") == 2
    (tmp_path / "tutorial.sh").write_text(f"set -eux\n{short}")

    done = subprocess.run(
        ["vedette", "simulator", "--", "bash", "tutorial.sh"], cwd=tmp_path,
        env=environment(tmp_path, PATH=f"{tools}:{os.environ['PATH']}"), capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    for bundle in (tmp_path / "run" / "bundle", tmp_path / "night" / "bundle", tmp_path / "night-bundle"):
        assert (bundle / "bundle.json").is_file()
    assert "0 of 16 files sent" in done.stderr  # the second job finds the pictures there
    assert "parts-night: nothing to do, it is Completed" in done.stdout
    assert "cost:" in done.stdout
    assert done.stderr.rstrip().endswith("--retention-in-days 30")  # `set -x`: the last command, cleaning up
