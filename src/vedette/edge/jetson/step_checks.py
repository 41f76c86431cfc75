"""Whether a step of provisioning is done, as far as the files of the machine that looks can tell."""

from collections.abc import Sequence
from enum import Enum

from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.examining import Examination
from vedette.edge.jetson.findings import Finding, Verdict
from vedette.edge.jetson.provisioning import NVIDIA_USB, Board, Step, Where, hosts_for

RELEASES, UNIT = "/var/lib/vedette/current", "/etc/systemd/system/vedette.service"


class State(str, Enum):
    """`UNKNOWN`: this machine cannot tell; the person can."""

    DONE = "done"
    TO_DO = "to do"
    UNKNOWN = "unknown"


def check_step(
    step: Step, board: Board, jetpack: str, files: BoxFiles, found: Examination, *, more: Sequence[Finding] = ()
) -> tuple[State, str]:
    """The state of a step and a few words; `more` are findings that need more than files, such as the engines."""
    here = Where.BOX if found.box.is_jetson else Where.HOST
    if step.where is not here:
        return State.UNKNOWN, f"to be seen on the {step.where.value}"
    if step.name == "host":
        return _host(board, jetpack, found)
    if step.name == "virtual-machine":
        return _virtual_machine(files)
    if step.name == "sdk-manager":
        there = files.exists("/usr/bin/sdkmanager")
        return (State.DONE, "is installed") if there else (State.TO_DO, "/usr/bin/sdkmanager is not there")
    if step.name == "recovery":
        return _recovery(board, files)
    if step.name == "first-boot":
        return _first_boot(jetpack, found)
    if step.name == "service":
        missing = [path for path in (RELEASES, UNIT) if not files.exists(path)]
        return (State.TO_DO, f"{missing[0]} is not there") if missing else (State.DONE, "installed")
    return _findings(step, [*found.findings, *more])


def commands_for(step: Step, findings: Sequence[Finding]) -> tuple[str, ...]:
    """The commands of a step, or what the doctor says to the gaps that it is about."""
    about = [finding for finding in findings if finding.topic in step.topics and finding.verdict is Verdict.GAP]
    return step.commands or tuple(command for finding in about for command in finding.remedy)


def _findings(step: Step, findings: Sequence[Finding]) -> tuple[State, str]:
    about = [finding for finding in findings if finding.topic in step.topics]
    gaps = [finding for finding in about if finding.verdict is Verdict.GAP]
    if gaps:
        return State.TO_DO, "; ".join(finding.text for finding in gaps)
    if not about or any(finding.verdict is Verdict.UNKNOWN for finding in about):
        return State.UNKNOWN, "nobody can tell but you"
    return State.DONE, "; ".join(f"{finding.topic} {finding.text}" for finding in about)


def _host(board: Board, jetpack: str, found: Examination) -> tuple[State, str]:
    system, wanted = found.box.system or "unknown system", hosts_for(board, jetpack)
    if "Ubuntu" in system and any(version in system for version in wanted):
        return State.DONE, system
    return State.TO_DO, f"this is {system}; Ubuntu {' or '.join(wanted)} is needed"


def _virtual_machine(files: BoxFiles) -> tuple[State, str]:
    name = files.text("/sys/class/dmi/id/product_name") or ""
    if " hypervisor" in (files.text("/proc/cpuinfo") or ""):
        xhci = bool(files.names("/sys/bus/pci/drivers/xhci_hcd", "0000:*"))
        words = "a virtual machine" + (f" ({name})" if name else "")
        if not xhci:
            return State.TO_DO, f"{words} without a USB 3 (xHCI) controller"
        return State.UNKNOWN, f"{words} with a USB 3 controller; whether 0955 is passed through shows in recovery mode"
    return State.DONE, "this is no virtual machine"


def _recovery(board: Board, files: BoxFiles) -> tuple[State, str]:
    seen = [
        files.text(path.replace("idVendor", "idProduct")) or ""
        for path in files.names("/sys/bus/usb/devices", "*/idVendor")
        if files.text(path) == NVIDIA_USB
    ]
    if not seen:
        return State.TO_DO, f"no device of vendor {NVIDIA_USB} is on USB: port, cable, jumper, virtual machine?"
    names = ", ".join(f"{NVIDIA_USB}:{product}" for product in seen)
    if board.recovery_usb and not set(seen) & set(board.recovery_usb):
        return State.TO_DO, f"{names} is no {board.title} in recovery mode ({', '.join(board.recovery_usb)})"
    return State.DONE, f"{names} is on USB"


def _first_boot(jetpack: str, found: Examination) -> tuple[State, str]:
    if found.box.jetpack == jetpack:
        return State.DONE, f"JetPack {jetpack} runs"
    return State.TO_DO, f"JetPack {found.box.jetpack or 'unknown'} runs here, {jetpack} is planned"
