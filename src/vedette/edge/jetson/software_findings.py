"""Board, JetPack and what is installed, judged: what is missing, too old for the board, or does not belong together."""

from vedette.edge.jetson.boards import CHIPS, Stack, board_of, newest_l4t_of, stack_of, version_key
from vedette.edge.jetson.findings import Finding, gap, good, note, unknown
from vedette.edge.jetson.identity import BoxIdentity
from vedette.edge.jetson.software import TRTEXEC, Software

JETPACK = ("sudo apt update", "sudo apt install nvidia-jetpack")
GSTREAMER = (
    "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav",
)
OLDEST_PYTHON = "3.10"
EDGE = "'vedette[edge]'"
OLD_GLIBC = "vedette obstore onnxruntime paho-mqtt psutil starlette uvicorn"  # no PyAV has a wheel for glibc 2.27


def judge_software(box: BoxIdentity, software: Software) -> list[Finding]:
    """Findings in the order in which a person reads them."""
    stack = None if box.jetpack is None else stack_of(box.jetpack)
    findings = [_board(box), *_jetpack(box), _python(box, software)]
    if box.is_jetson:
        findings += [_library("CUDA", software.cuda, None if stack is None else stack.cuda), _tensorrt(software, stack)]
        findings += [_library("cuDNN", software.cudnn, None), _deepstream(software, stack)]
    else:
        versions = (("CUDA", software.cuda), ("TensorRT", software.tensorrt), ("DeepStream", software.deepstream))
        findings += [good(topic, version) for topic, version in versions if version is not None]
    return [*findings, *_video(box, software)]


def _board(box: BoxIdentity) -> Finding:
    if not box.is_jetson:
        return good("board", f"{box.model or 'a computer'}; no Jetson: Vedette runs on its processor")
    name = box.module or box.model
    if box.chip is None:
        return note("board", f"{name or 'a Jetson'}; the device tree cannot be seen, as in a container")
    return good("board", f"{name or 'an unknown Jetson'} ({box.chip}, SM {box.sm})")


def _jetpack(box: BoxIdentity) -> list[Finding]:
    if not box.is_jetson:
        return [good("system", f"{box.system or 'unknown system'}, kernel {box.kernel or 'unknown'}")]
    if box.l4t is None:
        return [unknown("JetPack", "no L4T release is written down here: no /etc/nv_tegra_release, no nvidia-l4t-core")]
    name = f"L4T {box.l4t}, {box.system or 'unknown system'}"
    if box.jetpack is None:
        return [unknown("JetPack", f"{name}: this L4T is not in Vedette's table of JetPack releases")]
    text = f"JetPack {box.jetpack} ({name})"
    flashing = f"vedette jetson provision --board {board_of(box.module) or 'BOARD'}"
    if box.preview is not None:
        return [gap("JetPack", f"{text} is a {box.preview}; flash a release", flashing)]
    last = None if box.chip is None else CHIPS[box.chip].last_jetpack
    if last is None or version_key(box.jetpack) >= version_key(last):
        return [good("JetPack", text if last is None else f"{text}, the newest for this board")]
    if _minor(box.jetpack) != _minor(last):
        return [note("JetPack", f"{text}; {last} is the newest for this board, by flashing it", flashing)]
    return [note("JetPack", f"{text}; {last} is out", *_upgrade(box.l4t, newest_l4t_of(last)))]


def _upgrade(l4t: str, newest: str) -> tuple[str, ...]:
    """NVIDIA's packages of each minor L4T are in a place of their own."""
    now = ".".join(l4t.split(".")[:2])
    move = (f"sudo sed -i 's/r{now}/r{newest}/' /etc/apt/sources.list.d/nvidia-l4t-apt-source.list",)
    return (*(move if now != newest else ()), "sudo apt update", "sudo apt full-upgrade")


def _minor(version: str) -> tuple[int, ...]:
    return version_key(version)[:2]


def _library(topic: str, version: str | None, expected: str | None) -> Finding:
    if version is None:
        return gap(topic, f"{topic} is not installed", *JETPACK)
    if expected is not None and version_key(version)[: len(version_key(expected))] != version_key(expected):
        return note(topic, f"{version}; {expected} comes with this JetPack")
    return good(topic, version)


def _tensorrt(software: Software, stack: Stack | None) -> Finding:
    if software.tensorrt is None:
        return gap("TensorRT", "TensorRT is not installed: no engine can be built here", *JETPACK)
    if not software.trtexec:
        wanted = "libnvinfer-bin"
        return gap(
            "TensorRT", f"{software.tensorrt}, without {TRTEXEC}", "sudo apt update", f"sudo apt install {wanted}"
        )
    return _library("TensorRT", software.tensorrt, None if stack is None else stack.tensorrt.partition(".")[0])


def _deepstream(software: Software, stack: Stack | None) -> Finding:
    wanted = None if stack is None else stack.deepstream
    if software.deepstream is None:
        if wanted is None:
            return note("DeepStream", "DeepStream is not installed; only `vedette deepstream` needs it")
        remedy = ("sudo apt update", f"sudo apt install deepstream-{wanted}")
        return gap("DeepStream", f"DeepStream is not installed; {wanted} belongs to this JetPack", *remedy)
    if wanted is not None and _minor(software.deepstream) != _minor(wanted):
        return note(
            "DeepStream", f"{software.deepstream}; {wanted} belongs to this JetPack",
            f"sudo apt install deepstream-{wanted}",
        )  # fmt: skip
    return good("DeepStream", software.deepstream)


def _python(box: BoxIdentity, software: Software) -> Finding:
    if software.python is None:
        return unknown("Python", "no /usr/bin/python3 is here")
    if version_key(software.python) < version_key(OLDEST_PYTHON):
        return gap(
            "Python",
            f"the system's is {software.python}; Vedette needs {OLDEST_PYTHON} or newer beside it, which uv brings",
            "curl -LsSf https://astral.sh/uv/install.sh | sh",
            "uv venv --python 3.10 ~/vedette",
            f"uv pip install --python ~/vedette {OLD_GLIBC if '18.04' in (box.system or '') else EDGE}",
        )
    return good("Python", software.python)


def _video(box: BoxIdentity, software: Software) -> list[Finding]:
    findings = []
    if software.gstreamer is None:
        words = "GStreamer is not installed" + (
            "; Vedette decodes by FFmpeg, so nothing needs it here" * (not box.is_jetson)
        )
        findings.append((gap if box.is_jetson else note)("GStreamer", words, *GSTREAMER))
    else:
        findings.append(good("GStreamer", software.gstreamer))
    if box.is_jetson and not software.hardware_decoder:
        remedy = ("sudo apt update", "sudo apt install --reinstall nvidia-l4t-gstreamer")
        findings.append(gap("codecs", "NVIDIA's decoder plugin (nvv4l2decoder) is not installed", *remedy))
    elif box.is_jetson:
        words = "H.264 and H.265 in hardware (nvv4l2decoder)" + ("" if software.libav else "; none in software")
        findings.append(good("codecs", words))
    return findings
