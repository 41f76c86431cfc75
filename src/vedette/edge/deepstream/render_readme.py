"""The README of a rendered folder: what was chosen, why, what to expect, what has and has not been proved."""

from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.dialects import PARSER_LIBRARY
from vedette.edge.deepstream.render_nvinfer import builds_engine, differences, precision_of
from vedette.edge.deepstream.render_settings import Rendering
from vedette.edge.deepstream.sizing import other_inputs

CODECS = {"h264": "H.264", "h265": "H.265"}
_FILES = (
    (names.RUN_FILE, "starts everything: `./run.sh`"),
    (names.BUILD_FILE, f"builds {PARSER_LIBRARY} from parser/ on the board; run.sh calls it once"),
    (names.ENGINE_BUILD_FILE, "builds the INT8 engine on the board by trtexec; run.sh calls it once"),
    (names.APP_FILE, "deepstream-app"),
    (names.NVINFER_FILE, "nvinfer, exact to the bundle"),
    (names.DECODE_FILE, "how the box parser decodes the model's outputs"),
    (names.MODEL_FILE, "the network; its engine is built beside it"),
    (names.LABELS_FILE, "class names"),
    (names.TRACKER_FILE, "NvDCF tracker"),
    (names.ANALYTICS_FILE, "lines and zones"),
    (names.CONVERTER_FILE, "names of the cameras in messages"),
    (names.BROKER_FILE, "the broker's adaptor; no password in it"),
    (names.FACTS_FILE, "the pipeline, for `vedette deepstream run`; no password in it"),
)


def render_readme(rendering: Rendering, files: set[str], has_parser: bool) -> bytes:
    """`README.md`."""
    target, dialect = rendering.target, rendering.dialect
    pages = [
        f"# {rendering.manifest.name} on {target.title}, DeepStream {dialect.version}",
        f"JetPack {dialect.jetpack}, CUDA {dialect.cuda_jetson}, TensorRT {dialect.tensorrt}."
        if target.is_jetson
        else "CUDA, driver and TensorRT: as NVIDIA lists them for that version.",
        "Written by `vedette deepstream render` from a pipeline file and bundle "
        f"`{rendering.bundle_digest[:16]}`. Copy the folder to the board and start `./run.sh`, or "
        "`vedette deepstream run` on it, which starts it again when it fails and makes Vedette's events "
        "of its messages. The first start builds "
        "the box parser and the TensorRT engine, which takes minutes.",
        _expectation(rendering),
        _choices(rendering),
        _limits(rendering, has_parser),
        "## Files\n\n" + "\n".join(f"- `{name}`: {what}" for name, what in _FILES if name in files),
        "## Sources of the figures\n\n" + "\n".join(f"- {source}" for source in (*target.sources, *dialect.sources)),
    ]
    return ("\n\n".join(pages) + "\n").encode()


def _expectation(rendering: Rendering) -> str:
    sizing, demand, target = rendering.sizing, rendering.demand, rendering.target
    width, height = demand.network_size_px
    quality = "an estimate" if target.is_estimate else "from a published measurement"
    if demand.network_gflop is None:
        quality, cost = "measured on it", ""
    else:
        cost = f"One picture costs {demand.network_gflop:.2f} BFLOPs at {width}x{height} ({rendering.gflop_source}). "
    wish = "" if demand.wanted_fps is None else f"; the pipeline asks for {demand.wanted_fps:g}"
    lines = [
        "## What to expect",
        "",
        f"**{sizing.detections_fps:.1f} detections a second of each camera** "
        f"(every {ordinal(sizing.interval + 1)} frame)"
        + wish
        + ("." if sizing.is_wish_met else ", which does not fit: the interval was raised to what does."),
        "",
        "| | this pipeline | the board can |",
        "|---|---|---|",
        f"| detections a second, all {demand.cameras} cameras | {sizing.inferences_s:.0f} | "
        f"{sizing.most_inferences_s:.0f} ({quality}) |",
        f"| {CODECS[demand.codec]} decoded | {demand.cameras} x {demand.camera_size_px[0]}x{demand.camera_size_px[1]} "
        f"at {demand.camera_fps:g}/s | {sizing.decode_load:.0%} of it |",
        f"| muxer's buffers | {sizing.muxer_memory_mb:.0f} MB | of {target.memory_mb} MB |",
        "",
        "Cameras were taken to send that size, rate and codec; `--camera-size`, `--camera-fps` and `--codec` say "
        "otherwise.",
        f"{cost}The same network with another input would give, of each camera and second:",
        "",
        "| input | detections |",
        "|---|---|",
        *(f"| {size[0]}x{size[1]} | {rate:.1f} |" for size, rate in other_inputs(demand, sizing)),
        "",
        "Measure on the board with `trtexec`, give `--inferences-per-second`, render again.",
    ]
    return "\n".join(lines)


def _choices(rendering: Rendering) -> str:
    sizing, broker = rendering.sizing, rendering.broker
    lines = [
        f"- `interval={sizing.interval}`: the network sees every {ordinal(sizing.interval + 1)} batch, NvDCF moves the "
        "boxes on in between (the other trackers would not).",
        f"- `batch-size={sizing.batch}` in the muxer, one frame of each camera; `{rendering.network_batch}` in nvinfer"
        + (": the model takes no more at once." if rendering.manifest.input.batch else "."),
        f"- muxer {sizing.muxer_size_px[0]}x{sizing.muxer_size_px[1]}: boxes in messages are in these pixels.",
        f"- {precision_of(rendering).value.upper()}, thresholds {rendering.score:g} (score) and {rendering.nms_iou:g} "
        "(NMS): the pipeline file's, else the bundle's. `[class-attrs-N]` in the nvinfer file sets one class's own.",
        "- tiles and no window: `sink0` shows nothing; set its type to 2 for a window on the board.",
    ]
    if builds_engine(rendering):
        lines.append(
            "- the INT8 engine is built by trtexec from the bundle's own 8-bit model (Q/DQ), since nvinfer would make "
            "FP16 of it. The rates above are FP16's; INT8 is at least as fast."
        )
    lines.append(
        "- `vedette deepstream run --prove BUNDLE` on the board holds the engine to the bundle's golden pictures."
    )
    if broker is not None:
        lines.append(
            f"- messages to {broker.kind} {broker.host}, topic `{broker.topic}`, one a detected frame, minimal "
            "payload, by `msg-conv-msg2p-new-api=1`, without which deepstream-app sends none."
        )
    if rendering.pipeline.record is not None:
        kind = "hardware" if rendering.target.has_encoder else "software, for the board has no encoder"
        lines.append(
            f"- recording to `{names.RECORD_FILE}` (the tiles), encoder: {kind}. Each start gives the recording "
            "that is there its time as a name; nothing takes old ones away."
        )
    return "## What was chosen\n\n" + "\n".join(lines)


def _limits(rendering: Rendering, has_parser: bool) -> str:
    pipeline = rendering.pipeline
    told = differences(rendering)
    if rendering.has_rules:
        told.append(
            "lines and zones are counted and drawn by nvdsanalytics, whose counts NVIDIA's messages do not carry; "
            "Vedette's own events are made from the tracks in the messages"
        )
    if any(zone.dwell_s for camera in pipeline.cameras for zone in (*pipeline.zones, *camera.zones)):
        told.append("nvdsanalytics knows no dwell time")
    if any(event.kind == "file" for event in pipeline.events):
        told.append("DeepStream has no adaptor that writes events to a file; that target was left out")
    loops = {camera.loop for camera in pipeline.cameras}
    if len(loops) > 1:
        told.append("`loop` is for all sources or none in deepstream-app: none loops here")
    password_files = [camera.password_file for camera in pipeline.cameras]
    password_files.append(rendering.broker.password_file if rendering.broker is not None else None)
    if any(password_files) or any(not camera.is_live for camera in pipeline.cameras):
        told.append("films and password files are looked for where they were on the machine that rendered")
    if not has_parser:
        told.append(f"this version of Vedette comes without the source of {PARSER_LIBRARY}: put it into parser/")
    told.append("checked without a board: every file loads in GLib's parser and every key has its type; not run on one")
    return "## What is different, and what is not proved\n\n" + "\n".join(f"- {line}." for line in told)


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `10th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
