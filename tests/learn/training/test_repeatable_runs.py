"""`--deterministic`: the same seed gives the same bytes, with any loader, killed and resumed at any point."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training_run import rows_of

import killed_trainer
from drawn_shapes import SMALL_CFG, draw_data, write_cfg
from vedette.contracts.errors import InputError, UnavailableError
from vedette.contracts.ports import SilentProgress
from vedette.learn.training import training_run
from vedette.learn.training.arithmetic import Arithmetic, DeviceChoice, PrecisionChoice, full_precision
from vedette.learn.training.determinism import FACTS, check_repeatable, explained, facts_of, repeatable
from vedette.learn.training.errors import ResumeError, SettingsError
from vedette.learn.training.loop import train
from vedette.learn.training.peers import ALONE
from vedette.learn.training.settings import TrainSettings

CPU = full_precision(torch.device("cpu"))
TIMED = {"time_s", "pictures_per_s", "left_s"}
WRITTEN = ("last.weights", "best.weights")


def settings_for(folder: Path, pictures: int, **changes: object) -> TrainSettings:
    data, cfg = draw_data(folder / "data", pictures), write_cfg(folder)
    text = SMALL_CFG.replace("classes=2", "classes=1").replace("filters=14", "filters=12")
    cfg.write_text(
        text.replace("[convolutional]\nfilters=12", "[dropout]\nprobability=.2\n\n[convolutional]\nfilters=12")
    )
    settings = TrainSettings(data=data, model=str(cfg), epochs=2, batch=4, device=DeviceChoice.CPU, deterministic=True)
    return replace(settings, precision=PrecisionChoice.FP32, single_class="thing", **changes)


def check_same(one: Path, other: Path) -> None:
    """Weights to the byte, and every figure that no clock is in."""
    for name in WRITTEN:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    first, second = ([{k: v for k, v in row.items() if k not in TIMED} for row in rows_of(run)] for run in (one, other))
    assert first == second


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_loaders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(tmp_path, 12, epochs=1)
    train(settings, tmp_path / "one", SilentProgress())
    monkeypatch.setattr(training_run, "changing_threads", lambda *_: 3)
    train(settings, tmp_path / "two", SilentProgress())
    check_same(tmp_path / "one", tmp_path / "two")
    assert not torch.are_deterministic_algorithms_enabled()  # for whoever trains next in this process


def check_killed(folder: Path, settings: TrainSettings, kills: int, seed: int) -> None:
    asked = folder / "asked.json"
    asked.write_text(json.dumps(settings.to_flat()))
    command = [sys.executable, killed_trainer.__file__, str(asked), str(folder), str(kills), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    check_same(folder / "whole", folder / "killed")
    left = [path.name for path in (folder / "killed").rglob("*") if path.name.startswith(".")]
    assert left == [], "half-written files"
    assert epochs_in_event_files(folder / "killed") == epochs_in_event_files(folder / "whole")


def epochs_in_event_files(run: Path) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) by tag, as TensorBoard shows them, but for those with a clock in them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if "pictures_per_s" not in tag]
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in tags}


def test_killed_twice_and_resumed_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 15, tensorboard=True)
    check_killed(tmp_path, settings, kills=2, seed=3)
    shown = epochs_in_event_files(tmp_path / "killed")
    assert [epoch for epoch, _ in shown["val/mAP50"]] == [1, 2]
    assert {"train/box_loss", "train/learning_rate", "AP50 by class/thing", "AP50-95 by class/thing"} <= set(shown)
    assert (tmp_path / "killed" / "names.txt").read_text() == "thing\n"
    class_map = json.loads((tmp_path / "killed" / "class-map.json").read_text())
    assert class_map == {"brick": "thing", "tile": "thing"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_many_random_points_and_resumed_it_ends_with_the_same_bytes(tmp_path: Path, seed: int) -> None:
    settings = settings_for(tmp_path, 25, epochs=6, tensorboard=True, validate_every=2)
    check_killed(tmp_path, settings, kills=8, seed=seed)


def test_what_would_not_repeat_is_refused() -> None:
    gpu = Arithmetic(torch.device("cuda"), True, "")
    with pytest.raises(SettingsError, match="NCCL adds up in no fixed order"):
        check_repeatable(gpu, replace(ALONE, count=2), {})
    facts = facts_of(CPU, ALONE)
    check_repeatable(CPU, ALONE, facts)
    with pytest.raises(ResumeError, match="processes were 1, are 2"):
        check_repeatable(CPU, replace(ALONE, count=2), facts)
    with pytest.raises(ResumeError, match=r"arithmetic were FP32 on .*, are BF16 on"):
        check_repeatable(replace(CPU, bf16=True), ALONE, facts)


def test_a_resumed_run_takes_the_threads_that_it_was_begun_with() -> None:
    before = torch.get_num_threads()
    with repeatable(True, {FACTS[0]: before + 1}):
        assert torch.get_num_threads() == before + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == before
    with repeatable(False, {FACTS[0]: before + 1}):
        assert torch.get_num_threads() == before
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_layer_without_a_deterministic_way_is_named_and_other_errors_stay() -> None:
    told = "avg_pool3d_backward_cuda does not have a deterministic implementation, but you set it. You can"
    with (
        pytest.raises(UnavailableError, match=r"avg_pool3d_backward_cuda does .*--device cpu"),
        explained(),
    ):
        raise RuntimeError(told)
    with pytest.raises(RuntimeError, match="out of memory"), explained():
        raise RuntimeError("out of memory")


def test_event_files_are_refused_before_anything_is_read_where_nothing_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    settings = TrainSettings(data=tmp_path / "nowhere", model="yolov3-tiny", tensorboard=True)
    with pytest.raises(UnavailableError, match=r"pip install 'vedette\[tensorboard\]'"):
        train(settings, tmp_path / "run", SilentProgress())
    with pytest.raises(InputError, match="nowhere does not exist"):
        train(replace(settings, tensorboard=False), tmp_path / "run", SilentProgress())
    assert not (tmp_path / "run").exists()
