"""`vedette deepstream render`: a pipeline file and its bundle as a folder for a board with DeepStream."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.bundle_folder import OpenBundle
    from vedette.contracts.bundle import Precision
    from vedette.contracts.pipeline import Pipeline
    from vedette.edge.deepstream.render_settings import Rendering
    from vedette.edge.deepstream.targets import Target

CPU_GFLOPS_A_THREAD = 110  # yolov3-tiny-416 FP32, 19.7 pictures per CPU-second x 5.565 BFLOPs (AMD Zen 4)

LEAST_INFERENCES_S, MOST_INFERENCES_S = 0.01, 1e6  # beyond lies no board, and the interval would not fit into 32 bits


def render(  # noqa: PLR0913 - a command has as many flags as it has
    pipeline: Path,
    *,
    target: Annotated[
        str, Parameter(help="board: jetson-nano, xavier-nx, orin-nano, orin-nx, agx-orin, agx-thor, x86")
    ],
    deepstream: Annotated[str, Parameter(help="its DeepStream version: 6.0, 6.0.1 ... 7.1, 8.0, 9.0, 9.1")],
    out: Annotated[Path, Parameter(help="the folder to write; it must not be there yet, or be empty")],
    camera_size: Annotated[str, Parameter(help="what the cameras send, WIDTHxHEIGHT")] = "1920x1080",
    camera_fps: Annotated[float, Parameter(help="pictures a second that each camera sends")] = 30.0,
    codec: Annotated[Literal["h264", "h265"], Parameter(help="what the cameras send")] = "h264",
    kafka: Annotated[
        str | None, Parameter(help="send messages to Kafka at HOST:PORT/TOPIC, not to the file's broker")
    ] = None,
    inferences_per_second: Annotated[
        float | None, Parameter(help="measured on the board with trtexec, instead of published figures")
    ] = None,
    json: Annotated[bool, Parameter(help="print one JSON document")] = False,
) -> int:
    """Render a pipeline file as NVIDIA DeepStream configuration for one board and one DeepStream version.

    Writes a folder: deepstream-app, nvinfer (exact to the bundle: scale, colour, resize, thresholds), labels, model,
    tracker, lines and zones, message converter and broker, run.sh, and a README of what was chosen, why, and how many
    detections a second each camera gets. What a version or board cannot do is refused; a detection rate that does not
    fit is lowered and told. Passwords are in no file: run.sh reads them where the pipeline file says. `precision: fp32`
    and `int8` in the pipeline file are kept, anything left out becomes FP16.
    """
    from vedette.apps.object_storage import local_bundle
    from vedette.apps.pipeline_file import read_pipeline
    from vedette.bundle_folder import open_bundle
    from vedette.edge.deepstream.render_nvinfer import model_variant
    from vedette.edge.deepstream.rendering import render as render_files

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already; give another folder")
    settings = _with_absolute_paths(read_pipeline(pipeline))
    bundle = open_bundle(local_bundle(settings.bundle))
    size = _size(camera_size)
    rendering = _plan(settings, bundle, (target, deepstream), (size, camera_fps, codec), (kafka, inferences_per_second))
    files = render_files(rendering, bundle.read(model_variant(bundle.manifest, rendering.demand.precision).file))
    _refuse_own_mistakes(files, rendering)
    _write(out, files)
    _report(rendering, out, files, json)
    return 0


def _plan(
    settings: "Pipeline",
    bundle: "OpenBundle",
    board: tuple[str, str],
    camera: tuple[tuple[int, int], float, str],
    given: tuple[str | None, float | None],
) -> "Rendering":
    from vedette.edge.deepstream.dialects import dialect as find_dialect
    from vedette.edge.deepstream.render_settings import Rendering
    from vedette.edge.deepstream.rendering import choose_broker
    from vedette.edge.deepstream.sizing import Demand, fit
    from vedette.edge.deepstream.targets import check_version, find_target

    found, dialect = find_target(board[0]), find_dialect(board[1])
    check_version(found, dialect.version)
    if not 1 <= camera[1] <= 240:
        raise UsageError(f"--camera-fps {camera[1]:g}: give a number from 1 to 240")
    kafka, inferences = given
    if inferences is not None and not LEAST_INFERENCES_S <= inferences <= MOST_INFERENCES_S:
        raise UsageError(f"--inferences-per-second {inferences:g}: give a number from {LEAST_INFERENCES_S:g} to 1e6")
    broker = choose_broker(settings, dialect, None if kafka is None else _kafka(kafka))
    gflop, source = (None, "") if inferences else _network_gflop(bundle)
    detect = settings.detect
    wanted = None if detect.fps == "auto" else detect.fps or camera[1] / detect.every
    demand = Demand(
        cameras=len(settings.cameras),
        camera_size_px=camera[0],
        camera_fps=camera[1],
        codec=camera[2],
        network_gflop=gflop,
        network_size_px=(bundle.manifest.input.width, bundle.manifest.input.height),
        wanted_fps=wanted,
        precision=_precision(settings, found),
    )
    sizing = fit(demand, found, inferences)
    return Rendering(settings, bundle.manifest, bundle.digest, found, dialect, demand, sizing, broker, source)


def _precision(settings: "Pipeline", board: "Target") -> "Precision":
    """The pipeline file's, FP16 where it names none.

    Raises:
        UsageError: nvinfer, or this board, has none such.
    """
    from vedette.contracts.bundle import Precision

    asked = settings.detect.precision
    if asked is Precision.BF16:
        raise UsageError(
            "precision bf16: nvinfer knows FP32, FP16 and INT8 only, and BF16 in a bundle is a setting of OpenVINO; "
            "give fp16 in the pipeline file"
        )
    if asked is Precision.INT8 and not board.has_int8:
        raise UsageError(
            f"precision int8: the {board.title}'s GPU does not compute in 8 bits, and nvinfer would make FP16 of it; "
            "give fp16 in the pipeline file"
        )
    return asked if "precision" in settings.detect.model_fields_set else Precision.FP16


def _network_gflop(bundle: "OpenBundle") -> tuple[float, str]:
    """What one picture costs, and how that is known: from the cfg, else roughly from the receipt's time.

    Raises:
        UsageError: neither is in the bundle.
    """
    from vedette.learn.darknet.cfg import parse_cfg
    from vedette.learn.darknet.plan import plan_network

    spec = bundle.manifest.input
    if "model.cfg" in bundle.manifest.files:
        text = bundle.read("model.cfg").decode("utf-8", errors="replace")
        plan = plan_network(parse_cfg(text, "model.cfg"), spec.width, spec.height)
        return plan.bflops, "from the bundle's model.cfg"
    for variant in bundle.manifest.variants:
        if variant.precision.value == "fp32" and variant.receipt.network_ms:
            gflop = variant.receipt.network_ms / 1000 * CPU_GFLOPS_A_THREAD
            return gflop, f"roughly, from the receipt's {variant.receipt.network_ms:.0f} ms on a processor"
    raise UsageError(
        f"bundle '{bundle.manifest.name}' has neither a model.cfg nor a receipt with the network's time: give "
        "--inferences-per-second, as trtexec measures it on the board"
    )


def _with_absolute_paths(pipeline: "Pipeline") -> "Pipeline":
    """run.sh starts in its own folder, `vedette deepstream run` in any: what they use is named from the root."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    cameras = [one.model_copy(update={"password_file": absolute(one.password_file)}) for one in pipeline.cameras]
    events = [
        one.model_copy(
            update={"path": absolute(one.path)}
            if one.kind == "file"
            else {"password_file": absolute(one.password_file)}
        )
        for one in pipeline.events
    ]
    return pipeline.model_copy(update={"cameras": tuple(cameras), "events": tuple(events)})


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if match is None or min(int(match[1]), int(match[2])) < 16:
        raise UsageError(f"--camera-size {text}: write WIDTHxHEIGHT, as 1920x1080")
    return int(match[1]), int(match[2])


def _kafka(text: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"([A-Za-z0-9._-]+):(\d{1,5})/([A-Za-z0-9._-]+)", text)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise UsageError(f"--kafka {text}: write HOST:PORT/TOPIC, as broker:9092/vedette")
    return match[1], int(match[2]), match[3]


def _refuse_own_mistakes(files: dict[str, bytes], rendering: "Rendering") -> None:
    """What is handed out passes the check that users have."""
    from vedette.edge.deepstream.lint import check_content

    for name, content in files.items():
        if name.endswith(".txt") and content.lstrip().startswith(b"#"):
            for finding in check_content(content, name, rendering.dialect, rendering.target)[1]:
                raise InputError(f"cannot be rendered: {finding}")


def _write(out: Path, files: dict[str, bytes]) -> None:
    """The whole folder or none of it."""
    from vedette.edge.deepstream.rendering import EXECUTABLE

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            for name, content in files.items():
                path = temporary / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                path.chmod(0o755 if name in EXECUTABLE else 0o644)
            temporary.chmod(0o755)
            temporary.replace(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error


def _report(rendering: "Rendering", out: Path, files: dict[str, bytes], as_json: bool) -> None:
    from vedette.apps.console import print_json, print_line, warn

    sizing = rendering.sizing
    if not sizing.is_wish_met:
        warn(
            f"vedette: {rendering.demand.wanted_fps:g} detections a second of each camera do not fit; "
            f"{sizing.detections_fps:.1f} do (interval {sizing.interval})"
        )
    if "parser/" not in "".join(files):
        warn("vedette: this version comes without the box parser's source; put it into parser/ before the first start")
    if as_json:
        print_json(
            {
                "folder": str(out),
                "target": rendering.target.name,
                "deepstream": rendering.dialect.version,
                "detections_per_second_and_camera": round(sizing.detections_fps, 3),
                "interval": sizing.interval,
                "inferences_per_second": round(sizing.inferences_s, 3),
                "most_inferences_per_second": round(sizing.most_inferences_s, 3),
                "decode_load": round(sizing.decode_load, 3),
                "fits": sizing.is_wish_met,
                "files": sorted(files),
            }
        )
        return
    print_line(
        f"{out}: {len(rendering.pipeline.cameras)} cameras on {rendering.target.title}, DeepStream "
        f"{rendering.dialect.version}: {sizing.detections_fps:.1f} detections a second of each camera; start "
        f"{out}/run.sh there"
    )
