"""The number of pictures in a step when nobody says: the recipe's, or what memory and data hold; said, and kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drawn_shapes import draw_data, write_cfg
from vedette.apps.cli import run_command
from vedette.contracts.errors import UnavailableError
from vedette.contracts.ports import SilentProgress
from vedette.learn.darknet.cfg import parse_cfg
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import plan_network
from vedette.learn.darknet.zoo import make_cfg
from vedette.learn.training import batch_size
from vedette.learn.training.arithmetic import Arithmetic, full_precision
from vedette.learn.training.batch_size import fits_when_tried, most_that_fit, needed_bytes, settle_batch
from vedette.learn.training.intake import take_in
from vedette.learn.training.loading import Batch
from vedette.learn.training.memory import available_bytes, memory_explained
from vedette.learn.training.peers import ALONE
from vedette.learn.training.placing import placer
from vedette.learn.training.prepare import Prepared, prepare
from vedette.learn.training.processors import changing_threads, processors, reading_threads
from vedette.learn.training.recipes import new_settings, resumed_settings
from vedette.learn.training.run_folder import RunFolder

CPU = full_precision(torch.device("cpu"))
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("data")
    draw_data(folder / "data", 15)
    settings = new_settings({"data": str(folder / "data"), "model": str(write_cfg(folder)), "device": "cpu"})
    run = RunFolder(folder / "run")
    return prepare(take_in(settings, run, resume=False), run, SilentProgress())


def with_memory(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    monkeypatch.setattr(batch_size, "available_bytes", lambda: free)


def test_the_recipes_own_is_taken_where_memory_and_data_hold_it(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free in (None, 8 << 30):
        with_memory(monkeypatch, free)
        settled, line = settle_batch(prepared, CPU, ALONE)
        assert (settled.settings.batch, settled.settings.auto_batch) == (8, False)
        assert line == "batches of 8: the recipe's own"
    assert settle_batch(settled, CPU, ALONE) == (settled, None)  # what was given, or settled, is left alone


def test_where_memory_is_short_a_step_is_halved_until_it_fits(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pictures, expected in ((8, 8), (7, 4), (3, 2), (1, 1), (0.01, 1)):
        with_memory(monkeypatch, int(needed_bytes(prepared.plan, pictures) / batch_size.USABLE) + 1)
        settled, line = settle_batch(prepared, CPU, ALONE)
        assert settled.settings.batch == expected
        assert line is not None and ("what memory holds of the 8" in line) is (expected < 8)
    repeated = replace(prepared, settings=replace(prepared.settings, deterministic=True))
    assert settle_batch(repeated, CPU, ALONE)[0].settings.batch == 8  # the memory of the day must not decide there


def test_no_more_than_there_are_pictures(prepared: Prepared) -> None:
    few = {sample.name for sample in prepared.train.samples[3:]}
    settled, line = settle_batch(replace(prepared, train=prepared.train.without(few)), CPU, ALONE)
    assert settled.settings.batch == 3
    assert line == "batches of 3: there are no more than 3 pictures to train on"


def test_on_a_gpu_it_grows_only_while_epochs_keep_their_steps(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Arithmetic(torch.device("cuda"), True, "")
    tried: list[int] = []

    def holds(most: int) -> Callable[..., bool]:
        def fits(network: object, pictures: int, arithmetic: object) -> bool:
            tried.append(pictures)
            return pictures <= most

        return fits

    samples = prepared.train.samples[:1]
    for pictures, most, expected in (
        (205, 999, 8), (1700, 999, 16), (9999, 999, 64), (9999, 40, 32), (9999, 5, 4), (9999, 1, 1),
    ):  # fmt: skip
        monkeypatch.setattr(batch_size, "fits_when_tried", holds(most))
        many = prepared.train.without(set())
        many.samples = samples * pictures
        settled, line = settle_batch(replace(prepared, train=many), gpu, ALONE)
        assert settled.settings.batch == expected
        assert line is not None and line.startswith(f"batches of {expected}: ")
    assert tried[-7:] == [64, 32, 16, 8, 4, 2, 1]
    monkeypatch.setattr(batch_size, "fits_when_tried", holds(0))
    with pytest.raises(UnavailableError, match="does not hold one picture of 96x64"):
        settle_batch(prepared, gpu, ALONE)


def test_halving_ends_at_nothing() -> None:
    assert [most_that_fit(12, lambda n, most=most: n <= most) for most in (12, 11, 3, 1, 0)] == [12, 6, 3, 1, 0]


def test_needed_memory_is_no_less_than_what_was_measured() -> None:
    plan = plan_network(parse_cfg(make_cfg("yolov3-tiny", 3, 320, 320), "tiny"))
    measured = {8: 1269, 16: 1803}  # MiB at the peak, FP32; docs/reference/training.md
    for pictures, peak_mib in measured.items():
        assert 0.8 * peak_mib < needed_bytes(plan, pictures) / (1 << 20) < 1.5 * peak_mib


def test_what_was_chosen_is_in_the_run_and_a_resumed_run_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_data(tmp_path / "data", 12)
    plan = plan_network(parse_cfg(write_cfg(tmp_path).read_text(), "small"))
    with_memory(monkeypatch, int(needed_bytes(plan, 4) / batch_size.USABLE) + 1)
    common = ["--out", str(tmp_path / "run"), "--device", "cpu", "--precision", "fp32"]
    begin = ["train", "--data", str(tmp_path / "data"), "--model", str(tmp_path / "small.cfg"), "--epochs", "1"]
    assert run_command([*begin, *common, "--batch", "auto"]) == 0
    assert "batches of 4: what memory holds" in capsys.readouterr().err
    written = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert written["batch"] == 4
    assert written["batch_chosen"].startswith("batches of 4: ")
    assert "auto_batch" not in written
    with_memory(monkeypatch, 64 << 30)
    for asked in ({}, {"batch": "auto"}):
        assert (resumed_settings(written, asked).batch, resumed_settings(written, asked).auto_batch) == (4, False)
    assert run_command(["train", "--resume", "--batch", "auto", *common]) == 0
    assert run_command(["train", "--resume", "--batch", "8", *common]) == 1
    assert "batch was 4, is 8" in capsys.readouterr().err


def test_a_cfg_says_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_data(tmp_path / "data", 4)
    assert run_command(["train", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"),
                        "--recipe", "darknet", "--batch", "auto"]) == 2  # fmt: skip
    assert "takes batch and subdivisions from the cfg" in capsys.readouterr().err


def test_a_container_has_less_memory_than_its_computer(tmp_path: Path) -> None:
    memory, group = tmp_path / "meminfo", tmp_path / "group"
    group.mkdir()
    assert available_bytes(memory, group) is None
    memory.write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\nHugePages_Total:       0\n")
    assert available_bytes(memory, group) == 1_024_000
    for name, text in {"max": "max\n", "current": "500000\n", "stat": "anon 5\ninactive_file 100000\n"}.items():
        (group / f"memory.{name}").write_text(text)
    assert available_bytes(memory, group) == 1_024_000
    (group / "memory.max").write_text("600000\n")
    assert available_bytes(memory, group) == 200_000


def test_memory_that_does_not_do_is_one_sentence() -> None:
    told = "the memory does not hold a step of 8 pictures; train anew"
    with pytest.raises(UnavailableError, match=told), memory_explained(8):
        torch.empty(1 << 50)
    with pytest.raises(UnavailableError, match="the GPU's memory does not hold"), memory_explained(8):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="something else"), memory_explained(8):
        raise RuntimeError("something else")


def test_threads_come_from_the_processors() -> None:
    assert changing_threads("cpu") == 1
    assert 1 <= changing_threads("cuda") == max(min(processors() - 1, 8), 1)
    assert changing_threads("cuda", 1000) == 1
    assert 4 <= reading_threads() <= 16


def a_batch() -> Batch:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    return Batch(0, 3, ("p",), images, np.ones((2, 1, 4), np.float32), np.zeros((2, 1), np.int64))


def test_on_a_processor_nothing_is_copied() -> None:
    batch = a_batch()
    placed = placer(torch.device("cpu"))(batch)
    assert placed.ready() is placed
    assert placed.batch.number == 3
    batch.images_nhwc_rgb_u8[1, 5, 7] = (1, 2, 3)
    assert placed.images_nhwc_rgb_u8[1, 5, 7].tolist() == [1, 2, 3]


@needs_gpu
def test_on_a_gpu_batches_arrive_whole_beside_other_work() -> None:
    device, batch = torch.device("cuda"), a_batch()
    place = placer(device)
    busy = torch.rand(2048, 2048, device=device)
    for _ in range(20):
        busy = busy @ busy / 1000
        placed = place(batch).ready()
        assert placed.images_nhwc_rgb_u8.is_cuda
        np.testing.assert_array_equal(placed.images_nhwc_rgb_u8.cpu().numpy(), batch.images_nhwc_rgb_u8)


@needs_gpu
def test_what_fits_a_gpu_is_tried_and_given_back(prepared: Prepared) -> None:
    gpu = Arithmetic(torch.device("cuda"), True, "")
    network = DarknetNetwork(prepared.plan)
    before = torch.cuda.memory_allocated()
    assert fits_when_tried(network, 2, gpu)
    assert not fits_when_tried(network, 1 << 24, gpu)
    assert torch.cuda.memory_allocated() == before
