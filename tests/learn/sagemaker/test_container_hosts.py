"""Two hosts of a job on loopback: they train as one, the first as people count delivers, and they end together."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from ended_processes import wait_until_ended
from opt_ml import make_job, run_job, start_job, write_config
from vedette.learn.darknet.cfg import read_cfg
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import ConvolutionalWeights, read_weights
from vedette.learn.sagemaker.container import torchrun
from vedette.learn.sagemaker.container.resources import parse_resources
from vedette.learn.sagemaker.container.several import group_of
from vedette.learn.sagemaker.container.supervising import Stop
from vedette.learn.sagemaker.errors import ContractError

HOSTS = ["algo-10", "algo-2"]  # SageMaker's own order; algo-2 is the first as people count
LONG = "2000"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


class TwoHosts:
    """A job's folders on two hosts, and its programs."""

    def __init__(self, root: Path, **parameters: str) -> None:
        self.bases = {name: make_job(root / name, **parameters) for name in HOSTS}
        for name, base in self.bases.items():
            config = {"current_host": name, "hosts": HOSTS, "network_interface_name": "lo"}
            write_config(base, "resourceconfig.json", config)

    def start(self) -> None:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        self.programs = {name: start_job(base, **meeting) for name, base in self.bases.items()}

    def read_until(self, begin: str) -> None:
        """The first host's log."""
        process = self.programs["algo-2"]
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(begin):
                return
        pytest.fail(f"the job ended before '{begin}'")

    def finish(self) -> tuple[dict[str, int], dict[str, str]]:
        """Exit codes and logs by host."""
        logs = {name: process.communicate()[0] for name, process in self.programs.items()}
        return {name: process.returncode for name, process in self.programs.items()}, logs

    def failure(self, name: str) -> str:
        return (self.bases[name] / "output" / "failure").read_text()


def numbers_of(model: Path) -> np.ndarray:
    layers = read_weights(model / "last.weights", plan_network(read_cfg(model / "model.cfg"))).layers
    return np.concatenate([layer.kernel.ravel() for layer in layers if isinstance(layer, ConvolutionalWeights)])


@pytest.mark.slow
def test_two_hosts_train_as_one_and_the_first_delivers(tmp_path: Path) -> None:
    job = TwoHosts(tmp_path)
    job.start()
    codes, logs = job.finish()
    assert codes == {"algo-10": 0, "algo-2": 0}, logs
    assert list((job.bases["algo-10"] / "model").iterdir()) == []
    assert list((job.bases["algo-10"] / "checkpoints").iterdir()) == []
    assert "done; algo-2 delivers the model" in logs["algo-10"]
    assert "metrics: " not in logs["algo-10"]
    assert "metrics: epoch=2;" in logs["algo-2"]
    model = job.bases["algo-2"] / "model"
    assert (model / "bundle" / "bundle.json").is_file()
    alone = make_job(tmp_path / "alone")
    assert run_job(alone).returncode == 0
    one, two = numbers_of(alone / "model"), numbers_of(model)
    assert np.linalg.norm(two - one) <= 1e-3 * np.linalg.norm(one)
    assert not np.array_equal(two, one)  # added up in another order: they did share the work


@pytest.mark.slow
def test_sigterm_on_one_host_ends_both_with_a_valid_model_and_one_host_goes_on(tmp_path: Path) -> None:
    job = TwoHosts(tmp_path, epochs=LONG)
    job.start()
    job.read_until("epoch 2: ")
    job.programs["algo-10"].terminate()
    codes, logs = job.finish()
    assert codes == {"algo-10": 0, "algo-2": 0}, logs
    assert "stopped: the weights so far are in the model folder" in logs["algo-2"]
    assert (job.bases["algo-2"] / "model" / "bundle" / "bundle.json").is_file()
    assert len(numbers_of(job.bases["algo-2"] / "model")) > 5000
    for base in job.bases.values():
        assert not (base / "output" / "failure").exists()
    write_config(job.bases["algo-2"], "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    process = start_job(job.bases["algo-2"])
    assert process.stdout is not None
    with process.stdout:
        assert any(line.startswith("resuming in epoch") for line in process.stdout)
        process.kill()
    process.wait()


@pytest.mark.slow
def test_a_process_killed_on_one_host_is_the_failure_of_both(tmp_path: Path) -> None:
    job = TwoHosts(tmp_path, epochs=LONG)
    job.start()
    job.read_until("epoch 1: ")
    everybody = psutil.Process(job.programs["algo-10"].pid).children(recursive=True)
    next(one for one in everybody if one.environ().get("RANK") == "1").send_signal(signal.SIGKILL)
    codes, logs = job.finish()
    assert codes == {"algo-10": 1, "algo-2": 1}, logs
    assert "process 2 was killed by signal 9 (Killed), most likely for want of memory" in job.failure("algo-10")
    assert "process 2 of 2 (on algo-10) of this training ended without a word" in job.failure("algo-2")
    assert "Traceback" not in job.failure("algo-2") + job.failure("algo-10")
    wait_until_ended(one.pid for one in everybody)


@pytest.mark.slow
def test_data_that_one_host_cannot_read_is_the_failure_of_both(tmp_path: Path) -> None:
    job = TwoHosts(tmp_path)
    (job.bases["algo-10"] / "input/data/train/JPEGImages/p003.jpg").write_bytes(b"no picture")
    job.start()
    codes, logs = job.finish()
    assert codes == {"algo-10": 1, "algo-2": 1}, logs
    assert "p003.jpg cannot be decoded" in job.failure("algo-10")
    assert "process 2 of 2 (on algo-10): " in job.failure("algo-2")
    assert "p003.jpg cannot be decoded" in job.failure("algo-2")


@pytest.mark.slow
def test_killed_at_once_a_program_takes_its_processes_along(tmp_path: Path) -> None:
    job = TwoHosts(tmp_path, epochs=LONG)
    job.start()
    job.read_until("epoch 1: ")
    everybody = psutil.Process(job.programs["algo-10"].pid).children(recursive=True)
    assert len(everybody) >= 2
    job.programs["algo-10"].kill()
    codes, logs = job.finish()
    assert codes == {"algo-10": -signal.SIGKILL, "algo-2": 1}, logs
    wait_until_ended(one.pid for one in everybody)
    shutil.rmtree(tmp_path / "algo-10")


def test_each_gpu_gets_a_process_or_each_host_without_any() -> None:
    said: list[str] = []
    config = {"hosts": HOSTS, "current_host": "algo-10", "network_interface_name": "lo"}
    group = group_of(parse_resources(config, 4), "auto", {}, said.append)
    command = group.command(["vedette", "train", "--epochs=3"])
    assert command[1:6] == [
        "--nnodes=2", "--node-rank=1", "--nproc-per-node=4", "--master-addr=algo-2", "--master-port=29500",
    ]  # fmt: skip
    assert command[-4:] == ["-m", "vedette", "train", "--epochs=3"]
    assert said == ["algo-10 is host 2 of 2; processes here: 4; all meet at algo-2"]
    added = group.environment({"NCCL_SOCKET_IFNAME": "eth7"}, 70.0)
    assert added["GLOO_SOCKET_IFNAME"] == "lo"
    assert "NCCL_SOCKET_IFNAME" not in added  # the job's own counts
    assert (added["VEDETTE_HOST"], added["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) == ("algo-10", "70")
    assert int(added["OMP_NUM_THREADS"]) >= 1
    assert group_of(parse_resources({}, 4), "cpu", {}, said.append).processes == 1
    assert group_of(parse_resources({}, 4), "auto", {}, said.append).are_several


def test_one_process_is_started_without_torchrun() -> None:
    for gpus in (0, 1):
        group = group_of(parse_resources({}, gpus), "auto", {}, pytest.fail)
        assert group.command(["vedette", "train"]) == ["vedette", "train"]
        assert group.environment({}, 70.0) == {}
        assert group.is_first_host


def test_a_network_interface_that_is_not_here_is_left_to_torch() -> None:
    config = {"hosts": HOSTS, "current_host": "algo-2", "network_interface_name": "ethwe"}
    group = group_of(parse_resources(config, 0), "auto", {}, lambda _: None)
    assert "GLOO_SOCKET_IFNAME" not in group.environment({}, 70.0)


@pytest.mark.parametrize("address", ["no-such-host.invalid", "127.0.0.1"])
def test_a_first_host_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr("vedette.learn.sagemaker.container.several.MEETING_S", 0)
    environ = {"MASTER_ADDR": address, "MASTER_PORT": free_port()}
    group = group_of(parse_resources({"hosts": HOSTS, "current_host": "algo-10"}, 0), "auto", environ, lambda _: None)
    with pytest.raises(ContractError, match=f"algo-2 does not answer at {address}"):
        group.wait_for_first_host(Stop())


def test_who_is_asked_to_stop_waits_for_nobody() -> None:
    environ = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    group = group_of(parse_resources({"hosts": HOSTS, "current_host": "algo-10"}, 0), "auto", environ, lambda _: None)
    stop = Stop()
    stop(signal.SIGTERM, None)
    group.wait_for_first_host(stop)


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        ([(0, 130), (1, 130)], 130, ""),
        ([(0, 130), (1, -15)], 130, ""),
        ([(0, 1), (1, -15)], 1, ""),
        ([(0, 130), (1, 1)], 1, ""),
        ([(2, 1), (3, -9)], 1, "process 4 was killed by signal 9 (Killed), most likely for want of memory"),
        ([(0, -11)], 1, "process 1 was killed by signal 11 (Segmentation fault)\n"),
    ],
)
def test_ends_of_processes_make_one_exit_code(ends, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert torchrun.judge(ends) == code
    printed = capsys.readouterr().err
    assert (said in printed) if said else printed == ""


def test_hosts_that_do_not_meet_are_one_line() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vedette.learn.sagemaker.container.torchrun", "--nnodes=2", "--node-rank=1"),
            *("--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}"),
            *("--rdzv-conf=timeout=1", "--max-restarts=0", "-m", "vedette", "--version"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "vedette: the hosts of this job have not met: " in done.stderr
    assert "Traceback" not in done.stderr
