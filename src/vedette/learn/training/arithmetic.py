"""Which device trains, and in which precision: chosen once, with the reason in words.

BF16 (autocast of the forward pass; weights, loss and optimiser stay FP32) is about twice as fast where the processor
multiplies BF16 itself, and slower where it does not. Left out: several devices.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch

from vedette.contracts.errors import UnavailableError

CPU_FLAGS = ("amx_bf16", "avx512_bf16")  # /proc/cpuinfo, x86
CPU_INFO = Path("/proc/cpuinfo")


class DeviceChoice(str, Enum):
    """Where to train; `auto` is CUDA where there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class PrecisionChoice(str, Enum):
    """`auto` is BF16 where the hardware multiplies it, else FP32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What was chosen."""

    device: torch.device
    bf16: bool
    reason: str  # for the person who waits

    def autocast(self) -> torch.autocast:
        """A context for the forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose_arithmetic(device: DeviceChoice, precision: PrecisionChoice) -> Arithmetic:
    """Resolve `auto`.

    Raises:
        UnavailableError: CUDA is asked for and not there.
    """
    cuda = torch.cuda.is_available()
    if device is DeviceChoice.CUDA and not cuda:
        raise UnavailableError(
            "no CUDA device can be used from here; use --device cpu, or install a CUDA build of torch"
        )
    chosen = torch.device("cuda" if cuda and device is not DeviceChoice.CPU else "cpu")
    if chosen.type == "cuda":
        able, where = torch.cuda.is_bf16_supported(), torch.cuda.get_device_name()
    else:
        flag = bf16_flag(CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.is_file() else "")
        threads = torch.get_num_threads()
        where = f"{threads} processor thread{'s' * (threads > 1)}" + (f", {flag}" if flag else "")
        able = flag is not None
    bf16 = able if precision is PrecisionChoice.AUTO else precision is PrecisionChoice.BF16
    return Arithmetic(chosen, bf16, f"training in {'BF16' if bf16 else 'FP32'} on {where}")


def full_precision(device: torch.device) -> Arithmetic:
    """FP32 on a device: what best.weights are judged in."""
    return Arithmetic(device, False, "")


def bf16_flag(cpu_info: str) -> str | None:
    """The processor flag that says it multiplies BF16, from the text of /proc/cpuinfo."""
    words = {word for line in cpu_info.splitlines() if line.startswith("flags") for word in line.split()}
    return next((flag for flag in CPU_FLAGS if flag in words), None)
