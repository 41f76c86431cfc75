"""Small file-system images of boxes of every JetPack generation: the files that tell, as those releases write them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

L4T_EXTRA = "# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
DATE = "DATE: Wed Feb  2 21:33:23 UTC 2022"
NANO_MODES = "< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=5W >\nCPU_ONLINE CORE_0 1\n"
ORIN_NANO_MODES = (
    "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
    "< POWER_MODEL ID=3 NAME=7W >\n"
)


@dataclass(frozen=True)
class Image:
    """What a box holds; `expected` are the values that must be read back."""

    compatible: str  # NULs as \0
    model: str
    release: tuple[int, str] | None  # R32, REVISION: 7.1
    packages: Mapping[str, str]
    system: tuple[str, str]  # Ubuntu's version, Python's
    cuda: tuple[str, str]  # folder, exact version
    deepstream: str | None
    modes: str
    mode: int
    memory_mb: int
    gpu: str
    ina: str  # "iio" or "hwmon"
    expected: Mapping[str, str | None] = field(default_factory=dict)


def _packages(l4t: str, trt: str, cudnn: str, gst: str) -> dict[str, str]:
    generation = trt.partition(".")[0]
    cudnn_name = "libcudnn8" if cudnn.startswith("8") else "libcudnn9-cuda-12"
    return {
        "nvidia-l4t-core": f"{l4t}-20220219090432",
        f"libnvinfer{generation}": f"{trt}-1+cuda10.2",
        cudnn_name: f"{cudnn}-1+cuda10.2",
        "libgstreamer1.0-0": f"{gst}-0ubuntu1",
    }


NANO = {
    "compatible": "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210",
    "model": "NVIDIA Jetson Nano Developer Kit",
    "system": ("18.04", "3.6"),
    "cuda": ("10.2", "10.2.300"),
    "modes": NANO_MODES,
    "memory_mb": 3964,
    "gpu": "57000000.gpu",
    "ina": "iio",
}
ORIN_NANO = {
    "compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234",
    "model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    "modes": ORIN_NANO_MODES,
    "memory_mb": 7620,
    "gpu": "17000000.gpu",
    "ina": "hwmon",
}

IMAGES = {
    "nano-4.6": Image(
        **NANO, release=(32, "6.1"), packages=_packages("32.6.1", "8.0.1", "8.2.1", "1.14.5"), deepstream="6.0", mode=1,
        expected={"jetpack": "4.6", "sm": "5.3", "cuda": "10.2.300", "tensorrt": "8.0.1", "power mode": "gap"},
    ),
    "nano-4.6.6": Image(
        **NANO, release=(32, "7.6"), packages=_packages("32.7.6", "8.2.1", "8.2.1", "1.14.5"), deepstream="6.0", mode=0,
        expected={"jetpack": "4.6.6", "sm": "5.3", "cuda": "10.2.300", "tensorrt": "8.2.1", "power mode": "good"},
    ),
    "xavier-nx-5.1.4": Image(
        compatible="nvidia,p3509-0000+p3668-0000\0nvidia,tegra194", model="NVIDIA Jetson Xavier NX Developer Kit",
        release=(35, "6.0"), packages=_packages("35.6.0", "8.5.2", "8.6.0", "1.16.3"), system=("20.04", "3.8"),
        cuda=("11.4", "11.4.19"), deepstream=None, modes="< POWER_MODEL ID=0 NAME=MODE_15W_2CORE >\n", mode=0,
        memory_mb=6800, gpu="17000000.gv11b", ina="hwmon",
        expected={"jetpack": "5.1.4", "sm": "7.2", "cuda": "11.4.19", "tensorrt": "8.5.2", "DeepStream": "gap"},
    ),
    "orin-nano-6.0": Image(
        **ORIN_NANO, release=(36, "3.0"), packages=_packages("36.3.0", "8.6.2", "8.9.4", "1.20.3"),
        system=("22.04", "3.10"), cuda=("12.2", "12.2.140"), deepstream="7.0", mode=0,
        expected={"jetpack": "6.0", "sm": "8.7", "cuda": "12.2.140", "tensorrt": "8.6.2", "power mode": "gap"},
    ),
    "orin-nano-6.2": Image(
        **ORIN_NANO, release=(36, "4.3"), packages=_packages("36.4.3", "10.3.0.30", "9.3.0.75", "1.20.3"),
        system=("22.04", "3.10"), cuda=("12.6", "12.6.68"), deepstream="7.1", mode=2,
        expected={"jetpack": "6.2", "sm": "8.7", "cuda": "12.6.68", "tensorrt": "10.3.0.30", "power mode": "good"},
    ),
    "orin-nano-6.2-container": Image(
        **ORIN_NANO, release=None, packages=_packages("36.4.3", "10.3.0.30", "9.3.0.75", "1.20.3"),
        system=("22.04", "3.10"), cuda=("12.6", "12.6.68"), deepstream="7.1", mode=2,
        expected={"jetpack": "6.2", "l4t": "36.4.3", "tensorrt": "10.3.0.30"},
    ),
    "thor-7.0": Image(
        compatible="nvidia,p3971-0089+p3834-0008\0nvidia,tegra264", model="NVIDIA Jetson AGX Thor Developer Kit",
        release=(38, "2.1"), packages=_packages("38.2.1", "10.13.3", "9.12.0", "1.24.2"), system=("24.04", "3.12"),
        cuda=("13.0", "13.0.48"), deepstream="8.0", modes="< POWER_MODEL ID=0 NAME=MAXN >\n", mode=0,
        memory_mb=125_000, gpu="gpu-gpc-0", ina="hwmon",
        expected={"jetpack": "7.0", "sm": "11.0", "cuda": "13.0.48", "tensorrt": "10.13.3", "DeepStream": "good"},
    ),
    "thor-7.2": Image(
        compatible="nvidia,p3971-0089+p3834-0008\0nvidia,tegra264", model="NVIDIA Jetson AGX Thor Developer Kit",
        release=(39, "2.0"), packages=_packages("39.2.0", "10.16.0", "9.20.0", "1.24.2"), system=("24.04", "3.12"),
        cuda=("13.2", "13.2.10"), deepstream="9.1", modes="< POWER_MODEL ID=0 NAME=MAXN >\n", mode=0,
        memory_mb=125_000, gpu="gpu-gpc-0", ina="hwmon",
        expected={"jetpack": "7.2", "sm": "11.0", "cuda": "13.2.10", "tensorrt": "10.16.0", "JetPack": "good"},
    ),
}  # fmt: skip


def write_image(root: Path, image: Image) -> Path:
    """The image below `root`."""
    put = _Writer(root)
    if image.release is not None:
        major, revision = image.release
        put("/etc/nv_tegra_release", f"# R{major} (release), REVISION: {revision}, GCID: 1, BOARD: t210ref, "
            f"EABI: aarch64, {DATE}\n" + (L4T_EXTRA if major >= 36 else ""))  # fmt: skip
    put("/proc/device-tree/model", f"{image.model}\0")
    put("/proc/device-tree/compatible", f"{image.compatible}\0")
    put("/proc/sys/kernel/osrelease", "4.9.253-tegra\n")
    put("/etc/os-release", f'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu {image.system[0]} LTS"\n')
    put("/var/lib/dpkg/status", _dpkg(image.packages))
    folder, exact = image.cuda
    text = f"CUDA Version {exact}\n" if exact.startswith("10") else f'{{"cuda": {{"version": "{exact}"}}}}'
    put(f"/usr/local/cuda-{folder}/version.{'txt' if exact.startswith('10') else 'json'}", text)
    put.link("/usr/local/cuda", "/etc/alternatives/cuda")
    put.link("/etc/alternatives/cuda", f"/usr/local/cuda-{folder}")
    put("/usr/src/tensorrt/bin/trtexec", "")
    if image.deepstream is not None:
        put(f"/opt/nvidia/deepstream/deepstream-{image.deepstream}/version", "")
    put(f"/usr/bin/python{image.system[1]}", "")
    put.link("/usr/bin/python3", f"python{image.system[1]}")
    put("/usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvvideo4linux2.so", "")
    put.link("/etc/nvpmodel.conf", "/etc/nvpmodel/nvpmodel_board.conf")
    put("/etc/nvpmodel/nvpmodel_board.conf", image.modes)
    put("/var/lib/nvpmodel/status", f"pmode:{image.mode:04d} fmode:quiet\n")
    put("/proc/meminfo", f"MemTotal:  {image.memory_mb * 1024} kB\nMemAvailable:  {image.memory_mb * 512} kB\n")
    put("/proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 507392 0 5\n")
    write_sensors(root, image.gpu, image.ina)
    return root


def write_sensors(root: Path, gpu: str, ina: str) -> None:
    """Zones, clocks and power monitors as the generation has them."""
    put = _Writer(root)
    zones = [
        ("AO-therm", 39500, None),
        ("CPU-therm", 32000, 97000),
        ("PMIC-Die", 100000, None),
        ("CV-therm", -256000, 1),
    ]
    for number, (name, milli, limit) in enumerate(zones):
        put(f"/sys/class/thermal/thermal_zone{number}/type", f"{name}\n")
        put(f"/sys/class/thermal/thermal_zone{number}/temp", f"{milli}\n")
        if limit is not None:
            put(f"/sys/class/thermal/thermal_zone{number}/trip_point_0_type", "critical\n")
            put(f"/sys/class/thermal/thermal_zone{number}/trip_point_0_temp", "105000\n")
            put(f"/sys/class/thermal/thermal_zone{number}/trip_point_1_type", "passive\n")
            put(f"/sys/class/thermal/thermal_zone{number}/trip_point_1_temp", f"{limit}\n")
    put("/sys/class/thermal/cooling_device0/type", "pwm-fan\n")
    put("/sys/class/thermal/cooling_device0/cur_state", "3\n")
    put("/sys/class/thermal/cooling_device1/type", "cpu-balanced\n")
    put("/sys/class/thermal/cooling_device1/cur_state", "0\n")
    put(f"/sys/class/devfreq/{gpu}/cur_freq", "460800000\n")
    put(f"/sys/class/devfreq/{gpu}/max_freq", "921600000\n")
    put(f"/sys/class/devfreq/{gpu}/device/load", "734\n")
    for name, value in (("cur", 1_036_800), ("max", 1_479_000), ("min", 102_000)):
        put(f"/sys/devices/system/cpu/cpu0/cpufreq/scaling_{name}_freq", f"{value}\n")
    monitor = "/sys/bus/i2c/devices/6-0040"
    if ina == "iio":
        put(f"{monitor}/name", "ina3221x\n")
        for number, (name, power) in enumerate((("POM_5V_IN", 2003), ("POM_5V_GPU", 0), ("POM_5V_CPU", 320))):
            put(f"{monitor}/iio:device0/rail_name_{number}", f"{name}\n")
            put(f"{monitor}/iio:device0/in_power{number}_input", f"{power}\n")
        return
    put(f"{monitor}/name", "ina3221\n")
    for number, (name, volt, ampere) in enumerate(
        (("VDD_IN", 5008, 800), ("VDD_CPU_GPU_CV", 5000, 100), ("NC", 1, 1)), 1
    ):
        put(f"{monitor}/hwmon/hwmon1/in{number}_label", f"{name}\n")
        put(f"{monitor}/hwmon/hwmon1/in{number}_input", f"{volt}\n")
        put(f"{monitor}/hwmon/hwmon1/curr{number}_input", f"{ampere}\n")
    put(f"{monitor}/hwmon/hwmon1/in7_label", "sum of shunt voltages\n")
    put("/sys/class/hwmon/hwmon4/oc1_event_cnt", "2\n")


class _Writer:
    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, path: str, text: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)


def _dpkg(packages: Mapping[str, str]) -> str:
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nPriority: standard\nVersion: {version}\nDescription: a\n b\n"
        for name, version in packages.items()
    ]
    removed = "Package: libnvinfer7\nStatus: deinstall ok config-files\nVersion: 7.1.3-1+cuda10.2\n"
    return "\n".join([*stanzas, removed])
