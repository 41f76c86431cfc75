"""Heat, power, clocks and what slows the box down, from /sys of every Jetson generation, and of a PC.

JetPack 4 has the INA3221 power monitors under iio, JetPack 5 and newer under hwmon. Limits are the thermal zones' own
trip points: a zone at or above its first `passive` one is being throttled, as is whatever a cooling device holds back.
A sensor that does not answer is left out. Source: Linux' thermal, hwmon and devfreq interfaces; Jetson Linux' INA3221.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vedette.edge.jetson.box_files import BoxFiles

GPU_NAMES = ("57000000.gpu", "17000000.gp10b", "17000000.gv11b", "17000000.ga10b", "17000000.gpu", "gpu-gpc-0")
FAKE_ZONES = {"PMIC-Die"}  # says 50 or 100 degrees whatever happens
SLOWS_DOWN = re.compile("cpu|gpu|emc|processor|devfreq|throttl|balanced", re.IGNORECASE)  # cooling devices; not fans
COLDEST_C, HOTTEST_C = -40.0, 150.0  # beyond: a sensor that is off (-256 on JetPack 5)


@dataclass(frozen=True, slots=True)
class Temperature:
    """One thermal zone; `limit_c` is where throttling begins, where the box says."""

    celsius: float
    limit_c: float | None


@dataclass(frozen=True, slots=True)
class Sensors:
    """One look. `cooling` are the devices that hold something back now; `throttle_counts` only grow."""

    temperatures: Mapping[str, Temperature]
    rails_mw: Mapping[str, int]
    gpu_load_percent: float | None
    gpu_mhz: float | None
    gpu_most_mhz: float | None
    cpu_mhz: float | None
    cpu_most_mhz: float | None
    cpu_least_mhz: float | None
    cooling: tuple[str, ...]
    throttle_counts: Mapping[str, int]

    @property
    def total_mw(self) -> int | None:
        """What goes into the board: its input rail, else the sum of the rails; None where there is no sensor."""
        return total_power_mw(self.rails_mw)

    @property
    def too_hot(self) -> tuple[str, ...]:
        """A few words for each zone at or above its limit."""
        return tuple(
            f"{name} at {one.celsius:.0f} °C, limit {one.limit_c:.0f} °C"
            for name, one in self.temperatures.items()
            if one.limit_c is not None and one.celsius >= one.limit_c
        )


def total_power_mw(rails_mw: Mapping[str, int]) -> int | None:
    """What goes into the board: its input rail, else the sum of the rails."""
    for name in ("POM_5V_IN", "VDD_IN"):
        if name in rails_mw:
            return rails_mw[name]
    return sum(rails_mw.values()) if rails_mw else None


def read_sensors(files: BoxFiles) -> Sensors:
    """One look at everything; takes a few milliseconds."""
    gpu = next((f"/sys/class/devfreq/{name}" for name in GPU_NAMES if files.exists(f"/sys/class/devfreq/{name}")), None)
    cpu = "/sys/devices/system/cpu/cpu0/cpufreq"
    load = None if gpu is None else files.number(f"{gpu}/device/load")
    return Sensors(
        temperatures=_temperatures(files),
        rails_mw=_rails_hwmon(files) or _rails_iio(files),
        gpu_load_percent=None if load is None else min(max(load, 0), 1000) / 10,  # per mille
        gpu_mhz=None if gpu is None else _scaled(files.number(f"{gpu}/cur_freq"), 1e6),
        gpu_most_mhz=None if gpu is None else _scaled(files.number(f"{gpu}/max_freq"), 1e6),
        cpu_mhz=_scaled(files.number(f"{cpu}/scaling_cur_freq"), 1e3),
        cpu_most_mhz=_scaled(files.number(f"{cpu}/scaling_max_freq"), 1e3),
        cpu_least_mhz=_scaled(files.number(f"{cpu}/scaling_min_freq"), 1e3),
        cooling=_cooling(files),
        throttle_counts=_throttle_counts(files),
    )


def _temperatures(files: BoxFiles) -> dict[str, Temperature]:
    found: dict[str, Temperature] = {}
    for zone in files.names("/sys/class/thermal", "thermal_zone*"):
        name, milli = files.text(f"{zone}/type"), files.number(f"{zone}/temp")
        if not name or name in FAKE_ZONES or milli is None or not COLDEST_C <= milli / 1000 <= HOTTEST_C:
            continue
        limits = [
            limit / 1000
            for path in files.names(zone, "trip_point_*_type")
            if files.text(path) == "passive"
            and (limit := files.number(path.removesuffix("_type") + "_temp")) is not None
            and limit > 0
        ]
        found[name] = Temperature(milli / 1000, min(limits, default=None))
    return found


def _rails_hwmon(files: BoxFiles) -> dict[str, int]:
    """JetPack 5 and newer: label, millivolt and milliampere of each channel."""
    rails: dict[str, int] = {}
    for monitor in _monitors(files):
        for path in files.names(monitor, "hwmon/hwmon*/in*_label"):
            name, channel = files.text(path), re.sub(r".*/in(\d+)_label$", r"\1", path)
            folder = path.rpartition("/")[0]
            millivolt = files.number(f"{folder}/in{channel}_input")
            milliampere = files.number(f"{folder}/curr{channel}_input")
            if name and name != "NC" and not name.startswith("sum") and None not in {millivolt, milliampere}:
                rails[name] = round((millivolt or 0) * (milliampere or 0) / 1000)
    return rails


def _rails_iio(files: BoxFiles) -> dict[str, int]:
    """JetPack 4: name and milliwatt of each channel."""
    rails: dict[str, int] = {}
    for monitor in _monitors(files):
        for path in files.names(monitor, "iio:device*/rail_name_*"):
            folder, _, last = path.rpartition("/")
            name, milliwatt = files.text(path), files.number(f"{folder}/in_power{last.rpartition('_')[2]}_input")
            if name and name != "NC" and milliwatt is not None:
                rails[name] = milliwatt
    return rails


def _monitors(files: BoxFiles) -> list[str]:
    paths = files.names("/sys/bus/i2c/devices", "*/name")
    return [path.rpartition("/")[0] for path in paths if (files.text(path) or "").startswith("ina3221")]


def _cooling(files: BoxFiles) -> tuple[str, ...]:
    """Cooling devices at work, fans aside: those slow something down."""
    found = []
    for device in files.names("/sys/class/thermal", "cooling_device*"):
        kind, state = files.text(f"{device}/type") or "", files.number(f"{device}/cur_state")
        if state is not None and state > 0 and SLOWS_DOWN.search(kind) is not None:
            found.append(kind)
    return tuple(found)


def _throttle_counts(files: BoxFiles) -> dict[str, int]:
    """Over-current events (Orin and newer), and how often a PC's processor was too hot."""
    counts: dict[str, int] = {}
    for path in files.names("/sys/class/hwmon", "hwmon*/oc*_event_cnt"):
        name = path.rpartition("/")[2].removesuffix("_event_cnt").upper()
        counts[f"over-current {name}"] = files.number(path) or 0
    package = "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    count = files.number(package)
    return counts if count is None else {**counts, "processor too hot": count}


def _scaled(value: int | None, by: float) -> float | None:
    return None if value is None else value / by
