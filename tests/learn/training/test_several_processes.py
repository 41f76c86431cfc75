"""Several processes train as one: the same weights, one end for all, and a run that any number of them goes on with."""

import csv
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import torchrun
from drawn_shapes import SMALL_CFG, draw_data, write_cfg
from ended_processes import wait_until_ended
from vedette.contracts.ports import SilentProgress
from vedette.learn.darknet.cfg import parse_cfg, read_cfg
from vedette.learn.darknet.loss import DetectionLoss, LossSettings, Truths
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.weights import ConvolutionalWeights, read_weights, write_weights
from vedette.learn.training.arithmetic import DeviceChoice, PrecisionChoice
from vedette.learn.training.checkpoint import load_checkpoint
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.intake import take_in
from vedette.learn.training.joining import is_one_of_many, join_peers
from vedette.learn.training.learner import prepare_heads
from vedette.learn.training.loading import BatchMaker
from vedette.learn.training.loop import train
from vedette.learn.training.peers import ALONE
from vedette.learn.training.prepare import prepare
from vedette.learn.training.run_folder import RunFolder
from vedette.learn.training.settings import TrainSettings
from vedette.learn.training.shared_norm import SharedBatchNorm2d

# Sums in another order differ by 1e-7 of a value, which some 15 steps of AdamW (it divides small gradients by small
# deviations) let grow to 0.5 % of the way that the weights have gone: as far as one process with two threads is from
# one with one. Without the shared batch norm it is 36 %, without the sum of gradients 49 %, of positives 8 %.
TOLERANCE = 0.02


def numbers_of(weights: Path) -> np.ndarray:
    """All numbers of a file of weights."""
    found = []
    for layer in read_weights(weights, plan_network(read_cfg(weights.parent / "model.cfg"))).layers:
        if isinstance(layer, ConvolutionalWeights):
            found += [layer.kernel, layer.biases]
            norm = layer.batch_norm
            found += [] if norm is None else [norm.scales, norm.means, norm.variances]
    return np.concatenate([part.ravel() for part in found])


def first_numbers(run: Path) -> np.ndarray:
    """Those that the network of a run, without other weights to start from, has begun with."""
    torch.manual_seed(0)
    plan = plan_network(read_cfg(run / "model.cfg"))
    network = DarknetNetwork(plan)
    prepare_heads(network, 0)
    write_weights(run / "first.weights", plan, network.to_darknet(0))
    numbers = numbers_of(run / "first.weights")
    (run / "first.weights").unlink()
    return numbers


def check_same_weights(one: Path, other: Path) -> None:
    """Two files of weights differ by little of what they have learnt."""
    first, second, start = numbers_of(one), numbers_of(other), first_numbers(one.parent)
    assert np.linalg.norm(second - first) <= TOLERANCE * np.linalg.norm(first - start)


def check_same_state(one: Path, other: Path) -> None:
    """So do the latest checkpoints of two runs: weights, averages, and what the optimiser remembers of gradients."""
    states = [load_checkpoint(run).tensors for run in (one, other)]
    assert states[0].keys() == states[1].keys()
    for kind in ("exp_avg", "exp_avg_sq", "running_mean", "running_var"):
        names = [name for name in states[0] if name.endswith(f".{kind}")]
        first, second = (torch.cat([state[name].flatten() for name in names]) for state in states)
        assert float((second - first).norm()) <= 2 * TOLERANCE * float(first.norm()), kind


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_parts_of_a_batch_are_those_of_the_whole(tmp_path: Path) -> None:
    settings = TrainSettings(data=draw_data(tmp_path / "data", 10), model=str(write_cfg(tmp_path)), batch=7)
    run = RunFolder(tmp_path / "run")
    prepared = prepare(take_in(settings, run, resume=False), run, SilentProgress())
    augment = settings.recipe.augment
    whole = BatchMaker(prepared.train, 7, 3, augment).make(2, 0, True)
    parts = [BatchMaker(prepared.train, 7, 3, augment, share=(part, 3)).make(2, 0, True) for part in range(3)]
    assert [len(part.images_nhwc_rgb_u8) for part in parts] == [2, 2, 3]
    assert np.array_equal(np.concatenate([part.images_nhwc_rgb_u8 for part in parts]), whole.images_nhwc_rgb_u8)
    assert sum((part.class_ids >= 0).sum() for part in parts) == (whole.class_ids >= 0).sum() > 0


def test_losses_and_gradients_of_parts_add_up_to_those_of_the_batch() -> None:
    torch.manual_seed(0)
    plan = plan_network(parse_cfg(SMALL_CFG, "cfg"))
    network = DarknetNetwork(plan).eval()
    images = torch.rand(4, 3, plan.input_height, plan.input_width)
    boxes = torch.tensor([[[8.0, 8, 30, 28]], [[40, 20, 60, 40]], [[0, 0, 0, 0]], [[50, 10, 76, 30]]])
    classes = torch.tensor([[0], [1], [-2], [1]])
    heads = [head.detach().requires_grad_() for head in network(images)]
    whole = DetectionLoss(plan.heads, plan.input_width, plan.input_height, LossSettings())(
        heads, Truths(boxes, classes)
    )
    whole.total.backward()
    total = 0.0
    for rows in (slice(0, 1), slice(1, 4)):
        own = [head.detach()[rows].requires_grad_() for head in heads]
        loss = DetectionLoss(
            plan.heads, plan.input_width, plan.input_height, LossSettings(), count_all=lambda _: whole.positives
        )
        part = loss(own, Truths(boxes[rows], classes[rows]))
        part.total.backward()
        total += float(part.total.detach())
        for head, mine in zip(heads, own, strict=True):
            assert head.grad is not None
            torch.testing.assert_close(mine.grad, head.grad[rows])
    assert whole.positives >= 3
    assert total == pytest.approx(float(whole.total.detach()), rel=1e-5)


def test_a_shared_batch_norm_is_torchs_own_where_one_process_has_everything() -> None:
    torch.manual_seed(1)
    theirs = nn.BatchNorm2d(5, momentum=0.03)
    with torch.no_grad():
        theirs.weight.uniform_(0.5, 2)
        theirs.bias.uniform_(-1, 1)
    ours = SharedBatchNorm2d(nn.BatchNorm2d(5, momentum=0.03), ALONE)
    ours.load_state_dict(theirs.state_dict())
    values = torch.randn(4, 5, 6, 7) * 3 + 100
    images = [values.clone().requires_grad_() for _ in range(2)]
    for norm, image in zip((theirs, ours), images, strict=True):
        (norm(image).square() * torch.linspace(0, 1, 7)).sum().backward()
    torch.testing.assert_close(images[1].grad, images[0].grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, rtol=1e-4, atol=1e-3)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)
    torch.testing.assert_close(ours.eval()(values), theirs.eval()(values))


def test_a_shared_batch_norm_takes_bf16_as_torchs_own_does() -> None:
    torch.manual_seed(2)
    values, found = torch.randn(4, 5, 6, 7).bfloat16() + 1, []
    for norm in (nn.BatchNorm2d(5), SharedBatchNorm2d(nn.BatchNorm2d(5), ALONE)):
        images = values.clone().to(memory_format=torch.channels_last).requires_grad_()
        normalised = norm(images)
        (normalised.float().square() * torch.linspace(0, 1, 7)).sum().backward()
        assert normalised.dtype == images.dtype == torch.bfloat16
        assert images.grad is not None
        assert norm.weight.grad is not None
        found.append((normalised.float(), images.grad.float(), norm.weight.grad, norm.running_var))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)


def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    flags = torchrun.draw_job(tmp_path)
    settings = TrainSettings(
        data=tmp_path / "data",
        model=str(tmp_path / "small.cfg"),
        epochs=3,
        batch=4,
        device=DeviceChoice.CPU,
        precision=PrecisionChoice.FP32,
    )
    alone = train(settings, tmp_path / "one", SilentProgress())
    code, printed = torchrun.run(torchrun.several(2, [*flags, "--epochs=3", f"--out={tmp_path / 'two'}"]))
    assert code == 0, printed
    for name in ("last.weights", "best.weights"):
        check_same_weights(tmp_path / "one" / name, tmp_path / "two" / name)
    check_same_state(tmp_path / "one", tmp_path / "two")
    for mine, theirs in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        for column in ("train_box_loss", "train_objectness_loss", "train_class_loss"):
            assert float(theirs[column]) == pytest.approx(float(mine[column]), rel=2e-3)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    assert printed.count("\nepoch 3: ") == 1  # the first process speaks for all
    assert f"best.weights of epoch {alone.best_epoch}:" in printed
    for name in ("model.cfg", "split.json", "names.txt"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


# The second process is asked to stop after its fourth step.
STOPPED = """
import os, signal, sys
from pathlib import Path
from vedette.contracts.ports import SilentProgress
from vedette.learn.training.joining import join_peers
from vedette.learn.training.loop import train_together
from vedette.learn.training.settings import TrainSettings, DeviceChoice, PrecisionChoice

class Stops(SilentProgress):
    steps = 0
    def advance(self, count=1, **figures):
        self.steps += "loss" in figures
        if self.steps == 4 and "loss" in figures:
            os.kill(os.getpid(), signal.SIGINT)

folder = Path(sys.argv[1])
settings = TrainSettings(
    data=folder / "data", model=str(folder / "small.cfg"), epochs=2, batch=4, device=DeviceChoice.CPU,
    precision=PrecisionChoice.FP32,
)
with join_peers(os.environ) as peers:
    progress = SilentProgress() if peers.is_first else Stops()
    try:
        train_together(peers, settings, folder / "run", progress, resume=False)
    except KeyboardInterrupt:
        print(f"process {peers.rank} stopped", flush=True)
        raise
"""


@pytest.mark.slow
def test_all_stop_where_one_is_asked_to_and_any_number_goes_on(tmp_path: Path) -> None:
    flags = [*torchrun.draw_job(tmp_path), "--epochs=2"]
    (tmp_path / "stopped.py").write_text(STOPPED)
    code, printed = torchrun.run([*torchrun.several(2, [])[:5], str(tmp_path / "stopped.py"), str(tmp_path)])
    assert code != 0
    assert {"process 0 stopped", "process 1 stopped"} <= set(printed.splitlines()), printed
    assert (tmp_path / "run" / "checkpoints" / "latest").read_text() == "00000004\n"
    shutil.copytree(tmp_path / "run", tmp_path / "run-3")
    code, printed = torchrun.run(torchrun.several(3, [f"--out={tmp_path / 'run-3'}", "--resume"]))
    assert code == 0, printed
    assert "resuming in epoch 1, batch 5" in printed
    code, printed = torchrun.run(torchrun.one([f"--out={tmp_path / 'run'}", "--resume"]))
    assert code == 0, printed
    code, printed = torchrun.run(torchrun.one([*flags, f"--out={tmp_path / 'whole'}"]))
    assert code == 0, printed
    for name in ("run", "run-3"):
        check_same_weights(tmp_path / "whole" / "last.weights", tmp_path / name / "last.weights")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_training_with_a_reason_and_the_run_goes_on(tmp_path: Path, victim: int) -> None:
    flags = [*torchrun.draw_job(tmp_path), "--epochs=1000", f"--out={tmp_path / 'run'}"]
    process = torchrun.start(torchrun.several(2, flags))
    torchrun.read_until(process, "epoch 2: ")  # the first epoch's checkpoint is written
    everybody = torchrun.workers(process)
    everybody[victim].send_signal(signal.SIGKILL)
    code, rest = torchrun.finish(process)
    assert code == 1
    wait_until_ended(one.pid for one in everybody)
    assert f"process {victim + 1} of 2" in rest, rest
    assert "ended without a word: it was killed, or its machine is gone" in rest
    assert (tmp_path / "run" / "checkpoints" / "latest").is_file()
    settings_of_run = [f"--out={tmp_path / 'run'}", "--resume"]
    process = torchrun.start(torchrun.one(settings_of_run))
    torchrun.read_until(process, "resuming in epoch")
    process.kill()
    torchrun.finish(process)


@pytest.mark.slow
def test_processes_with_unlike_data_and_batches_that_do_not_reach_are_refused(tmp_path: Path) -> None:
    flags = torchrun.draw_job(tmp_path / "0")
    torchrun.draw_job(tmp_path / "1", pictures=21)
    unlike = f'exec {sys.executable} -m vedette train --data={tmp_path}/$RANK/data --out={tmp_path}/run "$@"'
    command = [*torchrun.several(2, [])[:5], "--no-python", "bash", "-c", unlike, "bash", *flags[1:]]
    code, printed = torchrun.run(command)
    assert code == 1
    assert "process 2 of 2" in printed
    assert "has another set of data (digest)" in printed
    few = ["--batch=1" if flag.startswith("--batch") else flag for flag in flags]
    code, printed = torchrun.run(torchrun.several(2, [*few, f"--out={tmp_path / 'run'}"]))
    assert code == 1
    assert printed.count("--batch 1 is shared out among 2 processes: it must be at least 2") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_name_that_is_no_utf8_is_told_like_any_other(tmp_path: Path) -> None:
    missing = tmp_path / os.fsdecode(b"data\xff")
    code, printed = torchrun.run(torchrun.several(2, [f"--data={missing}", f"--out={tmp_path / 'run'}"]))
    assert code == 1
    assert "data\\udcff does not exist" in printed
    assert "UnicodeEncodeError" not in printed


def test_a_process_by_itself_joins_nobody() -> None:
    with join_peers({}) as peers:
        assert peers is ALONE
    assert not is_one_of_many({"RANK": "0", "WORLD_SIZE": "1"})
    with (
        pytest.raises(SettingsError, match="start several processes with torchrun"),
        join_peers({"RANK": "0", "WORLD_SIZE": "2"}),
    ):
        pass


def test_alone_operations_change_nothing() -> None:
    assert ALONE.sum([1.5, 2]) == [1.5, 2]
    assert ALONE.share(b"x") == b"x"
    assert ALONE.collect(b"x") == [b"x"]
    assert ALONE.together(lambda: 3) == 3
    values = torch.ones(2)
    ALONE.add_up(values)
    assert values.tolist() == [1, 1]
    assert replace(ALONE, rank=1).is_first is False
