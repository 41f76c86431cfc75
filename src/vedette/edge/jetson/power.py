"""Power modes of a Jetson: which there are, which is in force, which is the strongest.

The numbers of modes differ by board and JetPack, so they are read from /etc/nvpmodel.conf. Pure parsers; who may start
`nvpmodel -q` passes its answer in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vedette.edge.jetson.box_files import BoxFiles


@dataclass(frozen=True, slots=True)
class PowerMode:
    """The mode in force, by number and name; `modes` are all of them."""

    number: int
    name: str
    modes: Mapping[int, str]

    @property
    def strongest(self) -> int | None:
        """MAXN_SUPER, else MAXN, else the most watts; None where there is nothing to choose from."""
        return max(self.modes, key=lambda number: _strength(self.modes[number]), default=None)


def read_power_mode(files: BoxFiles, answer: str | None) -> PowerMode | None:
    """The mode in force, from what `nvpmodel -q` said, or from what nvpmodel wrote down; None when neither tells."""
    modes = parse_modes(files.text("/etc/nvpmodel.conf") or "")
    told = parse_query(answer or "")
    if told is not None:
        return PowerMode(told[0], told[1], modes)
    found = re.search(r"pmode:(\d+)", files.text("/var/lib/nvpmodel/status") or "")
    if found is None:
        return None
    number = int(found[1])
    return PowerMode(number, modes.get(number, str(number)), modes)


def parse_modes(text: str) -> dict[int, str]:
    """Number and name of each `< POWER_MODEL ID=0 NAME=MAXN >` of nvpmodel.conf."""
    return {int(number): name for number, name in re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text)}


def parse_query(text: str) -> tuple[int, str] | None:
    """Number and name from `nvpmodel -q`, whatever warnings come before."""
    found = re.search(r"NV Power Mode:\s*(\S+)\s*\n(?:.*\n)*?\s*(\d+)\s*$", text, re.MULTILINE)
    return None if found is None else (int(found[2]), found[1])


def _strength(name: str) -> tuple[int, int]:
    watts = re.search(r"(\d+)\s*W", name)
    rank = 2 if name.startswith("MAXN_SUPER") else 1 if name.startswith("MAXN") else 0
    return rank, int(watts[1]) if watts is not None else 0
