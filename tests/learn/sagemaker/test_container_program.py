"""`train` as SageMaker runs it: a process, a folder in place of /opt/ml, signals, exit codes, what is left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from ended_processes import wait_until_ended
from opt_ml import JOB, S3_CHANNEL, add_recipe, command, environment, make_job, run_job, start_job, write_config
from vedette.bundle_folder import open_bundle
from vedette.contracts.ports import SilentProgress
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import read_weights
from vedette.learn.data.versions_digests import DigestMemory
from vedette.learn.data.versions_push import push_version
from vedette.learn.sagemaker.container.folders import folders_of
from vedette.learn.sagemaker.container.program import read_job
from vedette.learn.sagemaker.container.supervising import Stop, run_child
from vedette.learn.sagemaker.errors import ContractError
from vedette.learn.sagemaker.metrics import METRIC_DEFINITIONS
from vedette.storage.store import open_store

LONG = "40"  # epochs: far from over when a test interrupts
GUARD = """
import socket

def refuse(*_, **__):
    raise RuntimeError("the network was asked for")

socket.getaddrinfo = socket.create_connection = socket.socket.connect = socket.socket.connect_ex = refuse
"""


def check_model(base: Path) -> None:
    """Weights that fit their cfg, and a bundle every byte of which is accounted for."""
    model = base / "model"
    names = (model / "names.txt").read_text().split()
    weights = read_weights(model / "best.weights", plan_network(read_cfg(model / "model.cfg")))
    assert weights.layers_loaded == len(plan_network(read_cfg(model / "model.cfg")).layers)
    bundle = open_bundle(model / "bundle")
    assert bundle.manifest.name == JOB
    assert list(bundle.manifest.classes) == names == ["brick", "tile"]
    assert bundle.manifest.provenance.training_run == JOB
    assert bundle.read("model.weights") == (model / "best.weights").read_bytes()
    assert not [path.name for path in model.rglob("*") if path.name.startswith(".")]


def failure(base: Path) -> str:
    return (base / "output" / "failure").read_text()


def read_until(process: "subprocess.Popen[str]", begin: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begin):
            return
    pytest.fail(f"the job ended before '{begin}'")


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    assert process.stdout is not None
    with process.stdout:
        rest = process.stdout.read()
    return process.wait(), rest


def test_a_job_leaves_bundle_weights_cfg_and_names_and_tells_its_figures_without_network(tmp_path: Path) -> None:
    base = make_job(tmp_path / "ml")
    add_recipe(base)
    (base / "output").mkdir()
    (base / "output" / "failure").write_text("of another job")
    (base / "model" / "bundle").mkdir(parents=True)
    (base / "model" / "bundle" / "stale").write_text("of another job")
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    done = run_job(base, PYTHONPATH=str(guard))
    assert done.returncode == 0, done.stdout
    assert not (base / "output" / "failure").exists()
    check_model(base)
    assert open_bundle(base / "model" / "bundle").manifest.variants[0].receipt.accuracy is not None
    assert {"results.csv", "report.html", "settings.json", "split.json"} <= {p.name for p in (base / "model").iterdir()}
    assert (base / "checkpoints" / "run" / "checkpoints" / "latest").is_file()
    settings = json.loads((base / "model" / "settings.json").read_text())
    assert settings["learning_rate"] == 0.002
    assert settings["class_weights"] == '{"brick": 2.0}'
    for definition in METRIC_DEFINITIONS:
        assert re.search(definition.regex, done.stdout), f"{definition.name} is not in the log"
    assert re.findall(r"metrics: epoch=(\d+);", done.stdout) == ["1", "2"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": "ten"}, "'epochs' is 'ten', not a whole number"),
        ({"learning-rate": "0.1"}, "'learning-rate' is none of model, size"),
    ],
)
def test_a_wrong_hyperparameter_is_one_failure_before_anything_begins(tmp_path: Path, parameters, message: str) -> None:
    base = make_job(tmp_path, **parameters)
    done = run_job(base)
    assert done.returncode == 1
    assert message in failure(base)
    assert done.stdout == f"vedette: {failure(base)}\n"
    assert list((base / "model").iterdir()) == list((base / "checkpoints").iterdir()) == []


def test_pipe_mode_a_missing_channel_and_a_host_that_is_none_are_failures_with_reasons(tmp_path: Path) -> None:
    base = make_job(tmp_path)
    for name, document, message in [
        ("inputdataconfig.json", {"train": {**S3_CHANNEL, "TrainingInputMode": "Pipe"}}, "Pipe mode"),
        ("inputdataconfig.json", {"cfg": S3_CHANNEL}, "no channel with labelled pictures"),
        (
            "resourceconfig.json",
            {"current_host": "algo-3", "hosts": ["algo-1", "algo-2"]},
            "'algo-3' is not once among",
        ),
    ]:
        kept = (base / "input" / "config" / name).read_text()
        write_config(base, name, document)
        assert run_job(base).returncode == 1
        assert message in failure(base)
        (base / "input" / "config" / name).write_text(kept)


def test_a_recipe_that_is_named_twice_is_a_failure(tmp_path: Path) -> None:
    base = make_job(tmp_path, recipe="darknet")
    (base / "input" / "data" / "recipe").mkdir()
    (base / "input" / "data" / "recipe" / "mine.yaml").write_text("learning_rate: 0.002\n")
    write_config(base, "inputdataconfig.json", {"train": S3_CHANNEL, "recipe": S3_CHANNEL})
    with pytest.raises(ContractError, match="'recipe' is a hyper-parameter and a channel"):
        read_job(folders_of(base, {}), {}, {})


def test_wrong_usage_is_one_line(tmp_path: Path) -> None:
    for arguments in (["serve"], ["train", "epochs", "3"], ["--epochs"]):
        done = subprocess.run(
            [*command(tmp_path)[:3], *arguments], capture_output=True, text=True, check=False, env=environment()
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: ")


def test_without_an_argument_it_trains_and_without_a_job_it_makes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path)[:3], capture_output=True, text=True, check=False,
        env=environment(SAGEMAKER_BASE_DIR=str(tmp_path / "ml")),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "holds no job" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_unreadable_data_is_named_in_the_failure(tmp_path: Path) -> None:
    base = make_job(tmp_path)
    pictures = base / "input" / "data" / "train" / "JPEGImages"
    (pictures / "p003.jpg").write_bytes(b"not a picture")
    assert run_job(base).returncode == 1
    assert "p003.jpg" in failure(base)
    assert failure(base).startswith("training failed: ")
    shutil.rmtree(base / "input" / "data" / "train" / "Annotations")
    assert run_job(base).returncode == 1
    assert "is no data set that Vedette knows" in failure(base)
    assert "Traceback" not in failure(base)
    # kinds are judged by the program, ranges by the trainer
    write_config(base, "hyperparameters.json", {"epochs": 0, "sagemaker_program": "x"})
    assert run_job(base).returncode == 1
    assert failure(base) == "training failed: --epochs must be at least 1, not 0"


@pytest.mark.slow
def test_stopped_and_resumed_it_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, stopped = make_job(tmp_path / "whole", epochs=LONG), make_job(tmp_path / "stopped", epochs=LONG)
    for base in (whole, stopped):
        add_recipe(base)
    assert run_job(whole).returncode == 0
    process = start_job(stopped)
    read_until(process, "epoch 2")
    asked = time.monotonic()
    process.terminate()
    code, rest = finish(process)
    assert code == 0, rest
    assert time.monotonic() - asked < 120
    assert "stopped: the weights so far are in the model folder" in rest
    check_model(stopped)
    assert not (stopped / "output" / "failure").exists()
    done = run_job(stopped)
    assert done.returncode == 0
    assert "resuming in epoch" in done.stdout
    assert "metrics: epoch=1;" not in done.stdout
    check_model(stopped)
    for name in ("best.weights", "last.weights", "model.cfg", "names.txt", "split.json"):
        assert (stopped / "model" / name).read_bytes() == (whole / "model" / name).read_bytes(), name
    again = run_job(stopped)  # a finished job started again delivers the same
    assert again.returncode == 0
    assert (stopped / "model" / "best.weights").read_bytes() == (whole / "model" / "best.weights").read_bytes()


@pytest.mark.slow
def test_killed_at_once_it_takes_its_trainer_along_and_resumes(tmp_path: Path) -> None:
    base = make_job(tmp_path, epochs=LONG)
    process = start_job(base)
    read_until(process, "epoch 3")
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    wait_until_ended(one.pid for one in children)
    done = run_job(base)
    assert done.returncode == 0, done.stdout
    assert "resuming in epoch" in done.stdout
    check_model(base)


@pytest.mark.slow
def test_other_settings_than_the_checkpoints_are_refused(tmp_path: Path) -> None:
    base = make_job(tmp_path, epochs="1")
    assert run_job(base).returncode == 0
    write_config(base, "hyperparameters.json", {"epochs": "3", "batch": "4"})
    assert run_job(base).returncode == 1
    assert "epochs was 1, is 3" in failure(base)


@pytest.mark.slow
def test_stopped_before_anything_is_learnt_there_is_no_model_and_a_reason(tmp_path: Path) -> None:
    base = make_job(tmp_path, checkpoints=False)
    process = start_job(base)
    read_until(process, "the job keeps no checkpoints")
    process.terminate()
    code, rest = finish(process)
    assert code == 143, rest
    assert failure(base) == "stopped before anything was learnt: there is no model"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_it_runs_where_there_is_no_network_and_no_writable_input(tmp_path: Path) -> None:
    base = make_job(tmp_path, epochs="1")
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", script, "sh", str(base / "input"), *command(base)],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    check_model(base)


def test_a_child_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    base, stop, said = make_job(tmp_path, epochs="10000"), Stop(), []
    stop(signal.SIGTERM, None)
    arguments = ["vedette", "train", f"--data={base / 'input/data/train'}", f"--out={tmp_path / 'run'}"]
    ended = run_child(arguments, stop, 0.0, interrupt=False, say=said.append, watch=lambda: None)
    assert ended.was_killed
    assert ended.was_stopped
    assert ended.code == -signal.SIGKILL
    assert "not done 0 s after the request to stop" in said[0]
    assert ended.output == ""


def test_the_first_1024_characters_of_a_failure_are_its_message(tmp_path: Path) -> None:
    base = make_job(tmp_path, **{f"unknown-{number}": "1" for number in range(60)})
    assert run_job(base).returncode == 1
    assert len(failure(base)) == 1024
    assert failure(base).startswith("hyper-parameters cannot be used: 'unknown-0' is none of")
    assert failure(base).endswith(" ...")


@pytest.mark.slow
def test_versions_that_were_pushed_are_trained_on_as_they_are(tmp_path: Path) -> None:
    base = make_job(tmp_path / "ml", epochs="1")
    channel, plain = base / "input" / "data" / "train", tmp_path / "plain"
    channel.rename(plain)
    pushed = push_version(plain, open_store(channel), "first", SilentProgress(), DigestMemory(None))
    fast = {"epochs": "1", "batch": "4", "device": "cpu"}
    for version in ("first", pushed.digest):
        write_config(base, "hyperparameters.json", {**fast, "data-version": version})
        done = run_job(base)
        assert done.returncode == 0, done.stdout
        check_model(base)
    assert "resuming in epoch 2" in done.stdout  # the same data, whatever its version is called
    write_config(base, "hyperparameters.json", fast)
    assert run_job(base).returncode == 1
    assert "has no version 'latest'; there are: first" in failure(base)
