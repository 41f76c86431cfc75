"""Sensors of every generation, and tegrastats' lines: true lines give their values, no text gives an error."""

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from box_images import write_sensors
from vedette.edge.jetson.box_files import BoxFiles
from vedette.edge.jetson.sensors import read_sensors
from vedette.edge.jetson.tegrastats import parse_tegrastats

NANO = (
    "RAM 1409/3964MB (lfb 28x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [22%@518,67%@518,off,off] "
    "EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@28.5C CPU@32C PMIC@50C GPU@30.5C AO@39.5C thermal@31.25C "
    "POM_5V_IN 2003/2003 POM_5V_GPU 0/0 POM_5V_CPU 320/320"
)
ORIN = (
    "11-22-2026 21:00:01 RAM 3012/7620MB (lfb 1x512kB) SWAP 0/3810MB (cached 0MB) CPU [5%@1510,3%@1510,off,0%@729] "
    "EMC_FREQ 2%@2133 GR3D_FREQ 84%@[713] NVENC off NVDEC 40%@115 NVJPG off VIC off OFA off APE 200 cpu@51.5C "
    "soc2@49C cv0@-256C gpu@52.25C tj@52.25C VDD_IN 17946mW/15710mW VDD_CPU_GPU_CV 8000mW/7000mW VDD_SOC 2390mW/2390mW"
)
ORIN_7 = "RAM 3012/62841MB (lfb 1x4MB) CPU [0%@729] GR3D_FREQ 0%@[1300,1298] tj@45C VDD_GPU_SOC 2390mW/2390mW"
THOR = "RAM 4000/125772MB (lfb 1x4MB) CPU [0%@972,1%@972] GR3D_FREQ @[1000,1003,1000] gpu@38.5C VIN 30000mW/30000mW"
USER = "RAM 1409/3964MB (lfb 28x4MB) CPU [22%,67%,off,off] EMC_FREQ 0% GR3D_FREQ 12% CPU@32C"


def test_a_line_of_the_nano() -> None:
    line = parse_tegrastats(NANO)
    assert line is not None
    assert (line.ram_used_mb, line.ram_mb, line.swap_mb) == (1409, 3964, 1982)
    assert line.cores_percent == (22, 67, None, None)
    assert (line.gpu_percent, line.gpu_mhz, line.memory_bus_percent) == (0, 76, 0)
    assert line.engines_mhz == {"APE": 25}
    assert line.temperatures_c == {"PLL": 28.5, "CPU": 32.0, "GPU": 30.5, "AO": 39.5, "thermal": 31.25}
    assert line.rails_mw == {"POM_5V_IN": 2003, "POM_5V_GPU": 0, "POM_5V_CPU": 320}
    assert line.total_mw == 2003


def test_a_line_of_an_orin() -> None:
    line = parse_tegrastats(ORIN)
    assert line is not None
    assert (line.gpu_percent, line.gpu_mhz) == (84, 713)
    assert line.engines_mhz == {"NVDEC": 115, "APE": 200}
    assert line.temperatures_c == {"cpu": 51.5, "soc2": 49.0, "gpu": 52.25, "tj": 52.25}
    assert line.total_mw == 17946


@pytest.mark.parametrize(
    ("text", "percent", "mhz", "total_mw"),
    [(ORIN_7, 0, 1300, 2390), (THOR, None, 1003, 30000), (USER, 12, None, None)],
)
def test_lines_of_others(text: str, percent: int | None, mhz: int | None, total_mw: int | None) -> None:
    line = parse_tegrastats(text)
    assert line is not None
    assert (line.gpu_percent, line.gpu_mhz, line.total_mw) == (percent, mhz, total_mw)


@settings(deadline=None)
@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    parse_tegrastats(text)


@settings(deadline=None)
@given(st.sampled_from([NANO, ORIN, ORIN_7, THOR, USER]), st.data())
def test_no_damage_to_a_line_is_an_error(line: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(place, len(line)))
    found = parse_tegrastats(line[:place] + data.draw(st.text(max_size=8)) + line[end:])
    if found is not None:
        assert all(-40 <= heat <= 150 for heat in found.temperatures_c.values())
        assert all(milliwatt >= 0 for milliwatt in found.rails_mw.values())


RAILS = st.dictionaries(st.sampled_from(["VDD_IN", "VDD_SOC", "CPU", "GPU"]), st.integers(0, 99999), max_size=4)
HEAT = st.dictionaries(st.sampled_from(["cpu", "gpu", "tj", "soc0"]), st.integers(-4000, 15000), max_size=4)


@settings(deadline=None)
@given(
    st.integers(0, 999_999), st.integers(1, 999_999), st.lists(st.none() | st.integers(0, 100), max_size=16),
    st.none() | st.integers(0, 100), RAILS, HEAT,
)  # fmt: skip
def test_what_is_written_is_read(
    used: int, memory: int, cores: list[int | None], gpu: int | None, rails: dict[str, int], heat: dict[str, int]
) -> None:
    parts = [f"RAM {used}/{memory}MB (lfb 1x4MB)"]
    parts += [f"CPU [{','.join('off' if one is None else f'{one}%@729' for one in cores)}]"] if cores else []
    parts += [f"GR3D_FREQ {'' if gpu is None else f'{gpu}%'}@[1300,1300]"]
    parts += [f"{name}@{value / 100:g}C" for name, value in heat.items()]
    parts += [f"{name} {value}mW/{value}mW" for name, value in rails.items()]
    line = parse_tegrastats(" ".join(parts))
    assert line is not None
    assert (line.ram_used_mb, line.ram_mb, line.gpu_percent) == (used, memory, gpu)
    assert line.cores_percent == tuple(cores)
    assert line.rails_mw == rails
    assert {name: round(value * 100) for name, value in line.temperatures_c.items()} == heat


@pytest.mark.parametrize(("gpu", "ina", "total_mw"), [("57000000.gpu", "iio", 2003), ("gpu-gpc-0", "hwmon", 4006)])
def test_sensors_of_old_and_new_generations(gpu: str, ina: str, total_mw: int, tmp_path: Path) -> None:
    write_sensors(tmp_path, gpu, ina)
    sensors = read_sensors(BoxFiles(tmp_path))
    assert {name: one.celsius for name, one in sensors.temperatures.items()} == {"AO-therm": 39.5, "CPU-therm": 32.0}
    assert sensors.temperatures["CPU-therm"].limit_c == 97.0
    assert sensors.total_mw == total_mw
    assert "NC" not in sensors.rails_mw and len(sensors.rails_mw) == (3 if ina == "iio" else 2)
    assert sensors.gpu_load_percent is not None and math.isclose(sensors.gpu_load_percent, 73.4)
    assert (sensors.gpu_mhz, sensors.gpu_most_mhz, sensors.cpu_mhz) == (460.8, 921.6, 1036.8)
    assert sensors.cooling == ()  # a fan slows nothing down
    assert sensors.throttle_counts == ({} if ina == "iio" else {"over-current OC1": 2})


SPOILT = (
    "thermal/thermal_zone0/temp",
    "thermal/thermal_zone1/trip_point_1_temp",
    "thermal/cooling_device1/cur_state",
    "devfreq/57000000.gpu/device/load",
    "hwmon/hwmon4/oc1_event_cnt",
)


@settings(deadline=None, max_examples=25)
@given(st.binary(max_size=40))
def test_whatever_a_sensor_says_is_no_error(said: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_sensors(root, "57000000.gpu", "hwmon")
        for name in SPOILT:
            (root / "sys/class" / name).write_bytes(said)
        read_sensors(BoxFiles(root))
