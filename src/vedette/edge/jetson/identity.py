"""What box this is: board, chip, L4T and JetPack, from the device tree, /etc and dpkg's records; a PC is one too.

Pure parsers over `BoxFiles`. In a container /etc/nv_tegra_release is absent unless mounted: then dpkg's record tells.
Source: the files that Jetson Linux puts there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.edge.jetson.boards import CHIPS, jetpack_of, module_of, preview_of
from vedette.edge.jetson.box_files import BoxFiles

RELEASE_LINE = re.compile(r"^# R(\d+) \(release\), REVISION: ([\d.]+)", re.MULTILINE)
TREE = "/proc/device-tree"


@dataclass(frozen=True, slots=True)
class BoxIdentity:
    """None where the box does not say. `model` is its own words, `module` the Jetson module that we know."""

    model: str | None
    module: str | None
    chip: str | None
    sm: str | None
    l4t: str | None
    jetpack: str | None
    preview: str | None
    system: str | None
    kernel: str | None

    @property
    def is_jetson(self) -> bool:
        return self.chip is not None or self.l4t is not None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def read_identity(files: BoxFiles, packages: Mapping[str, str]) -> BoxIdentity:
    """Who the box is; `packages` as `software.read_packages` gives them."""
    compatible = files.words(f"{TREE}/compatible")
    together = " ".join(
        (*compatible, *files.words(f"{TREE}/nvidia,boardids"), *files.words(f"{TREE}/nvidia,dtsfilename"))
    )
    chip = next((chip for word in compatible for name, chip in CHIPS.items() if word == f"nvidia,{name}"), None)
    l4t = _l4t(files, packages)
    return BoxIdentity(
        model=files.text(f"{TREE}/model") or files.text("/sys/class/dmi/id/product_name") or None,
        module=module_of(" ".join(compatible)) or (module_of(together) if chip else None),
        chip=None if chip is None else chip.name,
        sm=None if chip is None else chip.sm,
        l4t=l4t,
        jetpack=None if l4t is None else jetpack_of(l4t),
        preview=None if l4t is None else preview_of(l4t),
        system=_system(files),
        kernel=files.text("/proc/sys/kernel/osrelease"),
    )


def _l4t(files: BoxFiles, packages: Mapping[str, str]) -> str | None:
    found = RELEASE_LINE.search(files.text("/etc/nv_tegra_release") or "")
    if found is not None:
        return f"{found[1]}.{found[2]}"
    version = packages.get("nvidia-l4t-core")  # 32.7.1-20220219090432
    return None if version is None else version.partition("-")[0]


def _system(files: BoxFiles) -> str | None:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', files.text("/etc/os-release") or "", re.MULTILINE)
    return found[1] if found is not None else None
