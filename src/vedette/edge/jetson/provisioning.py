"""From a board in its box to one that watches: the steps, their commands, and what proves each done. Pure.

Which commands fit depends on board, JetPack and SDK Manager (its command line changed with 2.0). What only hands can do
is a line of its own. Sources: NVIDIA, SDK Manager "Install with the Command Line"; Jetson Linux Developer Guide,
"Flashing Support"; the preparation of the host as it fails in practice: virtual machines, cables, the wrong port.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from vedette.edge.jetson.boards import stack_of

SAMPLES = "/opt/nvidia/deepstream/deepstream/samples/configs/deepstream-app"
NVIDIA_USB = "0955"


class Where(str, Enum):
    """On the computer that flashes, or on the Jetson."""

    HOST = "host"
    BOX = "box"


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of Jetson. `recovery_usb` are the products (vendor 0955) that it is in recovery mode."""

    name: str
    title: str
    target: str
    jetpack: str
    hosts: tuple[str, ...]
    recovery_usb: tuple[str, ...]
    recovery: str
    sd_image: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `by_hand` is for the person, `commands` can be copied or run.

    `topics` are the findings of the doctor that must be free of gaps afterwards; a step without commands of its own is
    done by what the doctor says there. `proof` is what the last command must have printed.
    """

    name: str
    where: Where
    title: str
    by_hand: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    proof: str | None = None

    def to_json(self) -> dict[str, Any]:
        document = {name: getattr(self, name) for name in ("name", "title", "proof")}
        lists = {name: list(getattr(self, name)) for name in ("by_hand", "commands", "topics")}
        return {**document, **lists, "where": self.where.value}


_OLD_HOST, _MIDDLE_HOST, _NEW_HOST = ("18.04", "20.04"), ("18.04", "20.04"), ("22.04", "24.04")
_JUMPER = "bridge FC REC and GND (on the Nano J50 or J48, on the Orin Nano J14) with a jumper, connect power"
_BUTTON = "hold the middle (force recovery) button, press and release reset or power, let go"

BOARDS = {
    board.name: board
    for board in (
        Board(
            "jetson-nano", "Jetson Nano developer kit", "JETSON_NANO_TARGETS", "4.6.6", _OLD_HOST, ("7f21",), _JUMPER,
            "jetson-nano-jp461-sd-card-image.zip",
        ),
        Board("jetson-tx2", "Jetson TX2", "JETSON_TX2_TARGETS", "4.6.6", _OLD_HOST, (), _BUTTON),
        Board("xavier-nx", "Jetson Xavier NX", "JETSON_XAVIER_NX_TARGETS", "5.1.6", _MIDDLE_HOST, (), _JUMPER),
        Board("agx-xavier", "Jetson AGX Xavier", "JETSON_AGX_XAVIER_TARGETS", "5.1.6", _MIDDLE_HOST, (), _BUTTON),
        Board(
            "orin-nano", "Jetson Orin Nano", "JETSON_ORIN_NANO_TARGETS", "7.2", _NEW_HOST, ("7523", "7623"), _JUMPER
        ),
        Board("orin-nx", "Jetson Orin NX", "JETSON_ORIN_NX_TARGETS", "7.2", _NEW_HOST, ("7323", "7423"), _JUMPER),
        Board("agx-orin", "Jetson AGX Orin", "JETSON_AGX_ORIN_TARGETS", "7.2", _NEW_HOST, ("7023",), _BUTTON),
        Board("agx-thor", "Jetson AGX Thor", "JETSON_AGX_THOR_TARGETS", "7.2", _NEW_HOST, (), _BUTTON),
    )
}  # fmt: skip


def hosts_for(board: Board, jetpack: str) -> tuple[str, ...]:
    """The Ubuntu versions from which SDK Manager flashes a JetPack."""
    return ("20.04", "22.04") if jetpack.startswith("6") else board.hosts


def plan_steps(board: Board, jetpack: str, sdk_manager: int) -> list[Step]:
    """All steps, in order; `sdk_manager` is its major version, 1 or 2."""
    return [*_host_steps(board, jetpack, sdk_manager), *_box_steps(board, jetpack)]


def _host_steps(board: Board, jetpack: str, sdk_manager: int) -> list[Step]:
    systems = " or ".join(hosts_for(board, jetpack))
    return [
        Step("host", Where.HOST, f"A computer with Ubuntu {systems}, x86-64, and 40 GB free", (
            "a laptop's own Ubuntu is best; a container or WSL flashes badly",
        )),
        Step("virtual-machine", Where.HOST, "Where that Ubuntu is a virtual machine: USB and network reach the board", (
            "give the machine a USB 3 (xHCI) controller, and pass every device of vendor 0955 through to it: the board "
            "comes back under another number in the middle of flashing",
            "bridge its network (no NAT), so that host and board are in the same network",
        )),
        Step("sd-first", Where.HOST, "The board boots from its own card once, before anything is flashed", (
            *(() if board.sd_image is None else (
                f"write {board.sd_image} (developer.nvidia.com/embedded/downloads) to the card; sdX is the card's "
                "device: unzip -p IMAGE.zip | sudo dd of=/dev/sdX bs=1M status=progress conv=fsync",)),
            "with screen and keyboard, without jumper: a board, power supply or card that fails here fails later too",
        )),
        Step("sdk-manager", Where.HOST, "NVIDIA SDK Manager", (
            "fetch sdkmanager_*_amd64.deb from developer.nvidia.com/sdk-manager (an account is needed)",
        ), ("sudo apt install -y ./sdkmanager_*_amd64.deb",)),
        Step("recovery", Where.HOST, "The board in recovery mode, seen over USB", (
            board.recovery,
            "use a cable with data wires, from the board's device port (the Nano: micro-USB; others: the USB-C port "
            "beside the pins) to a port of the computer itself, no hub",
        ), (f"lsusb -d {NVIDIA_USB}:",)),
        Step("flash", Where.HOST, f"JetPack {jetpack} is flashed", (
            "the log-in opens in a browser; take the jumper away when it is done",
        ), (flash_command(board, jetpack, sdk_manager),)),
    ]  # fmt: skip


def flash_command(board: Board, jetpack: str, sdk_manager: int) -> str:
    """SDK Manager's command line, of 1.x or of 2.x; 2.x lists JetPack 4 among its archived versions."""
    if sdk_manager == 1:
        return (
            "sdkmanager --cli install --logintype devzone --product Jetson --targetos Linux "
            f"--version {jetpack} --target {board.target} --flash all"
        )
    archived = " --archived-versions true" if jetpack.startswith("4") else ""
    return (
        "sdkmanager --cli --action install --login-type devzone --product Jetson --target-os Linux "
        f"--version {jetpack}{archived} --target {board.target} --flash --license accept --stay-logged-in true "
        "--collect-usage-data disable --exit-on-finish"
    )


def _box_steps(board: Board, jetpack: str) -> list[Step]:
    stack = stack_of(jetpack)
    deepstream = "" if stack is None else f" deepstream-{stack.deepstream}"
    old = jetpack.startswith("4")
    return [
        Step("first-boot", Where.BOX, "First start: licence, user, network", (
            "with screen and keyboard, or over the USB cable: screen /dev/ttyACM0 115200",
            "in the same network as the cameras and this computer",
        ), (), ("JetPack",)),
        Step("packages", Where.BOX, "CUDA, TensorRT, DeepStream, GStreamer", (), (
            "sudo apt-get update",
            f"sudo apt-get install -y nvidia-jetpack{deepstream}",
            "sudo apt-get install -y gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
            "gstreamer1.0-libav",
        ), ("CUDA", "TensorRT", "DeepStream", "GStreamer", "codecs")),
        Step("swap", Where.BOX, "Swap on the disk, for building engines", (), (), ("swap",)),
        Step("power", Where.BOX, "The strongest power mode", (
            "needs the power supply of that mode: a Nano at 10 W its barrel jack and the jumper J48, no USB charger",
        ), (), ("power mode",)),
        Step("clock", Where.BOX, "A clock that is right", (), (), ("clock",)),
        Step("sample", Where.BOX, "NVIDIA's own sample runs, before anything of ours does", (
            "boxes on moving cars on the screen; without a screen the lines **PERF say enough",
        ), (
            f"cd {SAMPLES} && timeout 120 deepstream-app -c $(ls {_sample(board)} | head -n 1) || true",
        ), (), r"\*\*PERF"),
        Step("vedette", Where.BOX, "Vedette, in a Python of its own", (), _vedette(old), ("engines",)),
        Step("service", Where.BOX, "A detector, and the service that runs it", (
            "sudo vedette install SOURCE (docs/how-to/install-on-a-box.md), then the unit "
            "(docs/how-to/run-as-a-service.md)",
        )),
    ]  # fmt: skip


def _sample(board: Board) -> str:
    if board.name == "jetson-nano":
        return "source8_1080p_dec_infer-resnet_tracker_tiled_display_fp16_nano.txt"
    return "source4_1080p_dec_infer-resnet_tracker_sgie_tiled_display*.txt"  # its name's end differs by version


def _vedette(old: bool) -> tuple[str, ...]:
    """JetPack 4 has Python 3.6 and glibc 2.27, for which no PyAV of today has a wheel: DeepStream decodes there."""
    if not old:
        return (
            "sudo apt-get install -y python3-venv && sudo python3 -m venv /opt/vedette",
            "sudo /opt/vedette/bin/pip install 'vedette[edge]'",
        )
    return (
        "curl -LsSf https://astral.sh/uv/install.sh | sudo env UV_INSTALL_DIR=/usr/local/bin sh",
        "sudo UV_PYTHON_INSTALL_DIR=/opt/python uv venv --python 3.10 /opt/vedette",
        "sudo uv pip install --python /opt/vedette/bin/python vedette obstore onnxruntime paho-mqtt psutil starlette "
        "uvicorn",
    )
