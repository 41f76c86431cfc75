"""One line of NVIDIA's tegrastats, of JetPack 4 to 7, as values. Pure; never raises, whatever the line.

What a line does not say is None or absent: clocks and IRAM without root, GPU load on Thor, sensors that are off
(-256 C). Source: lines of Nano, TX2, Xavier, Orin and Thor; NVIDIA, Jetson Linux Developer Guide, "tegrastats Utility".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from vedette.edge.jetson.sensors import COLDEST_C, FAKE_ZONES, HOTTEST_C, total_power_mw

NOTHING: Mapping[str, int] = MappingProxyType({})
NO_HEAT: Mapping[str, float] = MappingProxyType({})
ENGINES = "NVENC|NVENC0|NVENC1|NVDEC|NVDEC0|NVDEC1|NVJPG|NVJPG1|VIC|VIC0_FREQ|APE|OFA|SE|MSENC|NVDLA0|NVDLA1"

_MEMORY = re.compile(r"\b(RAM|SWAP) (\d{1,9})/(\d{1,9})([kMG])B")
_CPU = re.compile(r"\bCPU \[([^\]]*)\]")
_CORE = re.compile(r"(\d{1,3})%(?:@(\d{1,6}))?")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d{1,3})%)?(?:@(?:\[([\d,]{1,60})\]|(\d{1,6})))?")
_MEMORY_BUS = re.compile(r"\bEMC_FREQ (\d{1,3})%(?:@(\d{1,6}))?")
_ENGINE = re.compile(rf"\b({ENGINES}) (off|\d{{1,3}}%)?(?:@?(\d{{1,6}}))?(?=\s|$)")
_HEAT = re.compile(r"(?<![\w.@-])([A-Za-z][\w-]{0,31})@(-?\d{1,4}(?:\.\d{1,4})?)C(?=\s|$)")
_RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]{1,31}) (\d{1,7})(?:mW)?/(\d{1,7})(?:mW)?(?=\s|$)")
_NO_RAILS = {"RAM", "SWAP", "IRAM"}


@dataclass(frozen=True, slots=True)
class TegraStats:
    """One line. A core that is off has None; loads are per cent, clocks MHz, power mW."""

    ram_used_mb: int | None = None
    ram_mb: int | None = None
    swap_used_mb: int | None = None
    swap_mb: int | None = None
    cores_percent: tuple[int | None, ...] = ()
    gpu_percent: int | None = None
    gpu_mhz: int | None = None
    memory_bus_percent: int | None = None
    engines_mhz: Mapping[str, int] = field(default_factory=lambda: NOTHING)  # those that work now
    temperatures_c: Mapping[str, float] = field(default_factory=lambda: NO_HEAT)
    rails_mw: Mapping[str, int] = field(default_factory=lambda: NOTHING)

    @property
    def total_mw(self) -> int | None:
        """What goes into the board; None where there is no sensor."""
        return total_power_mw(self.rails_mw)


def parse_tegrastats(line: str) -> TegraStats | None:
    """What a line says; None when it is no line of tegrastats."""
    memory = {name: _megabytes(used, all_, unit) for name, used, all_, unit in _MEMORY.findall(line)}
    if "RAM" not in memory:
        return None
    gpu, cores, bus = _GPU.search(line), _CPU.search(line), _MEMORY_BUS.search(line)
    swap = memory.get("SWAP")
    return TegraStats(
        ram_used_mb=memory["RAM"][0],
        ram_mb=memory["RAM"][1],
        swap_used_mb=None if swap is None else swap[0],
        swap_mb=None if swap is None else swap[1],
        cores_percent=() if cores is None else tuple(_core(one) for one in cores[1].split(",")),
        gpu_percent=None if gpu is None or gpu[1] is None else int(gpu[1]),
        gpu_mhz=None if gpu is None else _fastest(gpu[2] or gpu[3]),
        memory_bus_percent=None if bus is None else int(bus[1]),
        engines_mhz={name: int(clock) for name, state, clock in _ENGINE.findall(line) if clock and state != "off"},
        temperatures_c={
            name: float(heat)
            for name, heat in _HEAT.findall(line)
            if name not in {"PMIC", *FAKE_ZONES} and COLDEST_C <= float(heat) <= HOTTEST_C
        },
        rails_mw={name: int(now) for name, now, _ in _RAIL.findall(line) if name not in _NO_RAILS},
    )


def _megabytes(used: str, all_: str, unit: str) -> tuple[int, int]:
    scale = {"k": 1 / 1024, "M": 1, "G": 1024}[unit]
    return round(int(used) * scale), round(int(all_) * scale)


def _core(text: str) -> int | None:
    found = _CORE.fullmatch(text.strip())
    return None if found is None else int(found[1])


def _fastest(clocks: str | None) -> int | None:
    """Of all GPCs; None where no clock is told."""
    told = [int(clock) for clock in (clocks or "").split(",") if clock]
    return max(told, default=None)
