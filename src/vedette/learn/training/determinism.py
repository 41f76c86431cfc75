"""`--deterministic`: the same seed on the same machine gives the same weights, bit for bit, also after a resume.

Switched: cuDNN picks its kernels without measuring, and PyTorch uses ways whose sums have one order, or refuses the
step (`explained` says which layer). Refused: what no switch mends, see `check_repeatable`. On processors the order of
sums depends on the number of threads: it is written down, and a resume takes it again. Left to whoever starts the
process: CUBLAS_WORKSPACE_CONFIG, which must stand before CUDA is used. Source: PyTorch's notes on reproducibility.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from vedette.contracts.errors import UnavailableError
from vedette.learn.training.arithmetic import Arithmetic
from vedette.learn.training.errors import ResumeError, SettingsError
from vedette.learn.training.peers import Peers

FACTS = ("deterministic_threads", "deterministic_processes", "deterministic_arithmetic")


@contextmanager
def repeatable(wanted: bool, begun: Mapping[str, Any]) -> Iterator[None]:
    """Switch for a while, with the threads of the run that was `begun` if there is one."""
    if not wanted:
        yield
        return
    debugging: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        debugging.fill_uninitialized_memory,
    )
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    debugging.fill_uninitialized_memory = False  # a debugging aid that costs time
    try:
        if isinstance(begun.get(FACTS[0]), int) and begun[FACTS[0]] >= 1:
            torch.set_num_threads(begun[FACTS[0]])
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]
        debugging.fill_uninitialized_memory = before[3]


def facts_of(arithmetic: Arithmetic, peers: Peers) -> dict[str, int | str]:
    """What the order of sums depends on, to be written down beside the settings."""
    kind = torch.cuda.get_device_name() if arithmetic.device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    numbers = f"{'BF16' if arithmetic.bf16 else 'FP32'} on {kind}, torch {torch.__version__}"
    return dict(zip(FACTS, (torch.get_num_threads(), peers.count, numbers), strict=True))


def check_repeatable(arithmetic: Arithmetic, peers: Peers, begun: Mapping[str, Any]) -> None:
    """Refuse what would not repeat.

    Raises:
        SettingsError: several GPUs.
        ResumeError: the run was begun on another kind of machine, or by another number of processes.
    """
    if peers.are_many and arithmetic.device.type == "cuda":
        raise SettingsError("--deterministic: NCCL adds up in no fixed order; train on one GPU, or leave it out")
    changed = [
        f"{key.removeprefix('deterministic_')} were {begun[key]}, are {value}"
        for key, value in facts_of(arithmetic, peers).items()
        if key in begun and begun[key] != value
    ]
    if changed:
        raise ResumeError(f"a --deterministic run ends otherwise if it goes on otherwise: {'; '.join(changed)}")


@contextmanager
def explained() -> Iterator[None]:
    """Say which layer has no deterministic way, in a word.

    Raises:
        UnavailableError: one has none on this device.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "deterministic" not in text:
            raise
        raise UnavailableError(
            f"--deterministic cannot be kept on this device: {text.split('. ', maxsplit=1)[0][:200]}; train with "
            "--device cpu, or without --deterministic"
        ) from error
