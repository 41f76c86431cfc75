"""Memory, swap, power mode, clocks, heat, disk and clock of a box, judged; on a Jetson and on a PC."""

import re
from collections.abc import Callable

from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.findings import Finding, gap, good, note, unknown
from vedette.edge.jetson.identity import BoxIdentity
from vedette.edge.jetson.power import read_power_mode
from vedette.edge.jetson.sensors import Sensors

SMALL_MEMORY_MB = 8192  # TensorRT builds on a Nano fail without swap on a disk; on an Orin Nano large models do
LEAST_FREE_MB = 400
LEAST_DISK_MB = 2000  # a bundle, its engine, its predecessor, logs
WARM_MARGIN_C = 5.0  # so near its limit a box throttles as soon as the sun comes out
SWAP = (
    "sudo fallocate -l 4G /var/swapfile && sudo chmod 600 /var/swapfile",
    "sudo mkswap /var/swapfile && sudo swapon /var/swapfile",
    "echo '/var/swapfile none swap sw 0 0' | sudo tee -a /etc/fstab",
)
FAN = ("sudo jetson_clocks --fan",)  # as fast as it turns; on a box without one it says so
WHO_TAKES_IT = "ps -eo rss,pid,args --sort=-rss | head"

Ask = Callable[[str], str | None]  # runs a program of this machine and gives what it said; None where it may not


def judge_machine(
    box: BoxIdentity, files: BoxFiles, sensors: Sensors, ask: Ask, free_disk_mb: int | None
) -> list[Finding]:
    """Findings in the order in which a person reads them; `free_disk_mb` is None where nobody can know."""
    findings = [*_memory(box, files)]
    if box.is_jetson:
        findings += [_power(files, ask), _clocks(sensors)]
    return [*findings, _heat(box, sensors), _disk(free_disk_mb), _time(files, ask)]


def _memory(box: BoxIdentity, files: BoxFiles) -> list[Finding]:
    text = files.text("/proc/meminfo") or ""
    figures = {name: int(kb) // 1024 for name, kb in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    if "MemTotal" not in figures:
        return [unknown("memory", "/proc/meminfo is not here: this is no running box"), _swap(box, files, None)]
    total, free = figures["MemTotal"], figures.get("MemAvailable", figures.get("MemFree", 0))
    words = f"{total} MB, {free} MB free"
    if free >= LEAST_FREE_MB:
        return [good("memory", words), _swap(box, files, total)]
    desktop = ("sudo systemctl set-default multi-user.target && sudo reboot",) if box.is_jetson else ()
    remedy = (WHO_TAKES_IT, *desktop)
    return [
        gap("memory", f"{words}; less than {LEAST_FREE_MB} MB is left for pictures and engines", *remedy),
        _swap(box, files, total),
    ]


def _swap(box: BoxIdentity, files: BoxFiles, memory_mb: int | None) -> Finding:
    rows = [row.split() for row in (files.text("/proc/swaps") or "").splitlines()[1:]]
    on_disk = sum(int(row[2]) // 1024 for row in rows if len(row) > 2 and row[2].isdecimal() and "zram" not in row[0])
    in_memory = sum(int(row[2]) // 1024 for row in rows if len(row) > 2 and row[2].isdecimal() and "zram" in row[0])
    words = f"{on_disk} MB on disk, {in_memory} MB compressed in memory"
    if box.is_jetson and memory_mb is not None and memory_mb < SMALL_MEMORY_MB and on_disk < memory_mb // 2:
        return gap("swap", f"{words}; building engines in {memory_mb} MB needs some on a disk", *SWAP)
    return good("swap", words)


def _power(files: BoxFiles, ask: Ask) -> Finding:
    mode = read_power_mode(files, ask("nvpmodel -q"))
    if mode is None:
        return unknown("power mode", "cannot be read from here; ask the box", "sudo nvpmodel -q")
    best = mode.strongest
    if best is None or best == mode.number:
        return good("power mode", f"{mode.name} ({mode.number})" + ("" if best is None else ", the strongest"))
    return gap(
        "power mode", f"{mode.name} ({mode.number}); {mode.modes[best]} ({best}) is the strongest",
        f"sudo nvpmodel -m {best}",
    )  # fmt: skip


def _clocks(sensors: Sensors) -> Finding:
    most, least = sensors.cpu_most_mhz, sensors.cpu_least_mhz
    if most is None or least is None:
        return unknown("clocks", "cpufreq does not tell")
    gpu = "" if sensors.gpu_most_mhz is None else f", GPU up to {sensors.gpu_most_mhz:.0f} MHz"
    words = f"CPU {least:.0f} to {most:.0f} MHz{gpu}"
    if least >= most:
        return good("clocks", f"{words}; held at the top")
    return note(
        "clocks", f"{words}; they fall when little happens. Held at the top, for steady latency:", "sudo jetson_clocks"
    )


def _heat(box: BoxIdentity, sensors: Sensors) -> Finding:
    if not sensors.temperatures:
        return unknown("heat", "no thermal zone tells its temperature")
    name, hottest = max(sensors.temperatures.items(), key=lambda one: one[1].celsius)
    words = f"{name} is the hottest with {hottest.celsius:.0f} °C"
    if sensors.too_hot or sensors.cooling:
        causes = ", ".join((*sensors.too_hot, *(f"{one} at work" for one in sensors.cooling)))
        return gap(
            "heat",
            f"the box is throttling ({causes}): give it a fan, a heat sink or air, or a lower power mode",
            *(FAN if box.is_jetson else ()),
        )
    near = [
        f"{zone} at {one.celsius:.0f} of {one.limit_c:.0f} °C"
        for zone, one in sensors.temperatures.items()
        if one.limit_c is not None and one.celsius >= one.limit_c - WARM_MARGIN_C
    ]
    return note("heat", f"close to throttling: {', '.join(near)}") if near else good("heat", words)


def _disk(free_mb: int | None) -> Finding:
    if free_mb is None:
        return unknown("disk", "cannot be seen from here")
    if free_mb < LEAST_DISK_MB:
        remedy = ("sudo apt clean", "sudo journalctl --vacuum-size=100M")
        return gap("disk", f"{free_mb} MB are free; {LEAST_DISK_MB} MB are wanted for bundles and engines", *remedy)
    return good("disk", f"{free_mb / 1000:.0f} GB are free")


def _time(files: BoxFiles, ask: Ask) -> Finding:
    told = re.search(r"(?:System clock|NTP) synchronized: (yes|no)", ask("timedatectl status") or "")
    if (told is not None and told[1] == "yes") or files.exists("/run/systemd/timesync/synchronized"):
        return good("clock", "synchronised")
    if told is None:
        return unknown("clock", "nobody tells whether it is synchronised", "timedatectl status")
    words = "not synchronised: events would carry wrong times, and S3 refuses requests that are 15 minutes off"
    return gap("clock", words, "sudo timedatectl set-ntp true")
