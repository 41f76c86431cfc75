"""The whole look at a box: who it is, what is installed, how it fares, and what is to be mended."""

import os
from dataclasses import dataclass
from typing import Any

from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.findings import Finding, Verdict
from vedette.edge.jetson.identity import BoxIdentity, read_identity
from vedette.edge.jetson.machine_findings import Ask, judge_machine
from vedette.edge.jetson.sensors import read_sensors
from vedette.edge.jetson.software import Software, read_packages, read_software
from vedette.edge.jetson.software_findings import judge_software


@dataclass(frozen=True, slots=True)
class Examination:
    """One look."""

    box: BoxIdentity
    software: Software
    findings: tuple[Finding, ...]

    @property
    def gaps(self) -> int:
        return sum(finding.verdict is Verdict.GAP for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "box": self.box.to_json(),
            "software": self.software.to_json(),
            "findings": [finding.to_json() for finding in self.findings],
            "gaps": self.gaps,
        }


def examine(files: BoxFiles, ask: Ask = lambda program: None) -> Examination:
    """Look at a box through its files, and through programs where `ask` may run them."""
    packages = read_packages(files)
    box, software = read_identity(files, packages), read_software(files, packages)
    found = [*judge_software(box, software)]
    found += judge_machine(box, files, read_sensors(files), ask, _free_disk_mb(files))
    return Examination(box, software, tuple(found))


def _free_disk_mb(files: BoxFiles) -> int | None:
    try:
        found = os.statvfs(files.root)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize // 1_000_000
