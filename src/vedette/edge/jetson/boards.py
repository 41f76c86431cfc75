"""Jetson modules, chips and JetPack releases: what belongs to what.

Sources: NVIDIA's Jetson Linux archive and JetPack archive (L4T to JetPack), the part numbers in the device trees of
Jetson Linux, NVIDIA's CUDA documentation (SM of each chip), TensorRT's support matrices.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """A Tegra; `sm` is its GPU's compute capability, `last_jetpack` the newest JetPack that NVIDIA makes for it."""

    name: str
    sm: str
    last_jetpack: str


CHIPS = {
    "tegra210": Chip("tegra210", "5.3", "4.6.6"),  # TensorRT 10 compiles for SM 7.0 and newer only
    "tegra186": Chip("tegra186", "6.2", "4.6.6"),
    "tegra194": Chip("tegra194", "7.2", "5.1.6"),
    "tegra234": Chip("tegra234", "8.7", "7.2"),
    "tegra264": Chip("tegra264", "11.0", "7.2"),
}

MODULES = {  # the longest beginning of a part number that is here names the module
    "p3448-0000": "Jetson Nano (4 GB, developer kit)",
    "p3448-0002": "Jetson Nano (4 GB, eMMC)",
    "p3448-0003": "Jetson Nano 2GB",
    "p3448": "Jetson Nano",
    "p3636": "Jetson TX2 NX",
    "p3310": "Jetson TX2",
    "p3668": "Jetson Xavier NX",
    "p2888": "Jetson AGX Xavier",
    "p3767-0000": "Jetson Orin NX 16GB",
    "p3767-0001": "Jetson Orin NX 8GB",
    "p3767-0003": "Jetson Orin Nano 8GB",
    "p3767-0004": "Jetson Orin Nano 4GB",
    "p3767-0005": "Jetson Orin Nano 8GB (developer kit)",
    "p3767": "Jetson Orin NX or Nano",
    "p3701": "Jetson AGX Orin",
    "p3834": "Jetson AGX Thor",
}

BOARD_NAMES = {  # by the beginning of the module's name
    "Jetson Nano": "jetson-nano",
    "Jetson TX2": "jetson-tx2",
    "Jetson Xavier NX": "xavier-nx",
    "Jetson AGX Xavier": "agx-xavier",
    "Jetson Orin Nano": "orin-nano",
    "Jetson Orin NX": "orin-nx",
    "Jetson AGX Orin": "agx-orin",
    "Jetson AGX Thor": "agx-thor",
}

JETPACK_OF_L4T = {
    "32.3.1": "4.3", "32.4.3": "4.4", "32.4.4": "4.4.1", "32.5": "4.5", "32.5.1": "4.5.1", "32.6.1": "4.6",
    "32.7.1": "4.6.1", "32.7.2": "4.6.2", "32.7.3": "4.6.3", "32.7.4": "4.6.4", "32.7.5": "4.6.5", "32.7.6": "4.6.6",
    "34.1.1": "5.0.1", "35.1": "5.0.2", "35.2.1": "5.1", "35.3.1": "5.1.1", "35.4.1": "5.1.2", "35.5": "5.1.3",
    "35.6": "5.1.4", "35.6.1": "5.1.5", "35.6.2": "5.1.5", "35.6.3": "5.1.5", "35.6.4": "5.1.6",
    "36.2": "6.0", "36.3": "6.0", "36.4": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1", "36.4.7": "6.2.1",
    "36.5": "6.2.2", "38.4": "7.1", "39": "7.2", "39.2": "7.2",
}  # fmt: skip
PREVIEWS = {"34.1.1": "developer preview", "36.2": "developer preview", "39": "early access"}


@dataclass(frozen=True, slots=True)
class Stack:
    """What a JetPack brings; DeepStream is the version that goes with it, installed apart."""

    cuda: str
    tensorrt: str
    deepstream: str
    ubuntu: str
    python: str


STACKS = {  # by the beginning of the JetPack's version, the longest that fits
    "4.3": Stack("10.0", "6.0", "4.0", "18.04", "3.6"),
    "4.4": Stack("10.2", "7.1", "5.0", "18.04", "3.6"),
    "4.5": Stack("10.2", "7.1", "5.1", "18.04", "3.6"),
    "4.6": Stack("10.2", "8.2", "6.0", "18.04", "3.6"),
    "5.0": Stack("11.4", "8.4", "6.1", "20.04", "3.8"),
    "5.1": Stack("11.4", "8.5", "6.3", "20.04", "3.8"),
    "6.0": Stack("12.2", "8.6", "7.0", "22.04", "3.10"),
    "6": Stack("12.6", "10.3", "7.1", "22.04", "3.10"),
    "7.0": Stack("13.0", "10.13", "8.0", "24.04", "3.12"),
    "7.1": Stack("13.0", "10.13", "9.0", "24.04", "3.12"),
    "7": Stack("13.2", "10.16", "9.1", "24.04", "3.12"),
}


def module_of(compatible: str) -> str | None:
    """The module that a device tree's `compatible` or part number speaks of."""
    for number in re.findall(r"p\d{4}(?:-\d{4})?", compatible)[::-1]:  # carrier+module: the module comes last
        for known in sorted(MODULES, key=len, reverse=True):
            if number.startswith(known):
                return MODULES[known]
    return None


def board_of(module: str | None) -> str | None:
    """The name of a module's board in `vedette jetson provision --board`."""
    return next((name for words, name in BOARD_NAMES.items() if module is not None and module.startswith(words)), None)


def newest_l4t_of(jetpack: str) -> str:
    """The newest L4T of a JetPack, as its major and minor number: 32.7."""
    found = max((l4t for l4t, known in JETPACK_OF_L4T.items() if known == jetpack), key=version_key)
    return ".".join(found.split(".")[:2])


def jetpack_of(l4t: str) -> str | None:
    """The JetPack that an L4T version belongs to: 32.7.1 -> 4.6.1."""
    plain = re.sub(r"(\.0)+$", "", l4t)
    if plain == "38.2" or plain.startswith("38.2."):
        return "7.0"
    return JETPACK_OF_L4T.get(plain)


def preview_of(l4t: str) -> str | None:
    """`developer preview` or `early access` where an L4T version is no release."""
    return PREVIEWS.get(re.sub(r"(\.0)+$", "", l4t))


def stack_of(jetpack: str) -> Stack | None:
    """What belongs to a JetPack."""
    for known in sorted(STACKS, key=len, reverse=True):
        if jetpack == known or jetpack.startswith(f"{known}."):
            return STACKS[known]
    return None


def version_key(version: str) -> tuple[int, ...]:
    """For comparing versions: the numbers in them."""
    return tuple(int(number) for number in re.findall(r"\d+", version))
