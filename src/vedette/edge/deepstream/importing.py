"""An existing deepstream-app configuration as a pipeline file, and a list of what a pipeline file does not say.

Carried over: sources, how often and with which thresholds is detected, lines, zones, an MQTT or Kafka broker, that
something is shown or recorded. Vedette's own: tracker, muxer, memory, drawing. The model itself is packed by the user;
the command for it is among the notes.
"""

from pathlib import Path
from typing import Any

from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.import_brokers import import_broker
from vedette.edge.deepstream.import_rules import import_rules
from vedette.edge.deepstream.import_settings import Group, Imported, group_of, groups_of, read_config, read_named
from vedette.edge.deepstream.import_sources import import_cameras
from vedette.edge.deepstream.key_file import KeyFile
from vedette.edge.deepstream.key_tables import FileKind, kind_of_file

_LEFT = (
    r"secondary-gie\d+|secondary-pre-process\d+|pre-process|dewarper\d+|ds-example|segvisual|visionencoder|text-embedder|"
    r"replay|img-save|message-consumer\d+|message-converter"
)


def import_app(path: Path, bundle: str | None) -> Imported:
    """Read an application file and the files it names.

    Raises:
        DeepStreamError: it is no deepstream-app configuration, or has no source that Vedette can watch.
        KeyFileError: it is no key file or YAML.
    """
    file = read_config(path)
    if kind_of_file(file) is not FileKind.APP:
        raise DeepStreamError(f"{path}: is no configuration of deepstream-app (found: {kind_of_file(file).value})")
    imported = Imported({"version": 1, "bundle": bundle or "bundle"})
    cameras = import_cameras(file, _sensor_names(file, imported), imported)
    if not cameras:
        raise DeepStreamError(f"{path}: has no source that is enabled and that Vedette can watch")
    imported.document["cameras"] = cameras
    _import_detector(file, bundle, imported)
    analytics = group_of(file, "nvds-analytics")
    if analytics is not None and analytics.is_on:
        rules = read_named(analytics, "config-file", imported)
        if rules is not None:
            import_rules(rules, cameras, imported)
    _import_sinks(file, imported)
    for group in groups_of(file, _LEFT):
        if group.is_on:
            imported.leave(file, group.line, f"[{group.name}] left out: Vedette has nothing of the kind")
    tracker = group_of(file, "tracker")
    if tracker is not None and tracker.is_on:
        imported.leave(file, tracker.line, "[tracker] left out: Vedette tracks by itself (ByteTrack)")
    return imported


def _sensor_names(file: KeyFile, imported: Imported) -> dict[int, str]:
    """The cameras' names in messages, by stream."""
    listed = group_of(file, "source-list")
    names = listed.words("sensor-name-list") or listed.words("sensor-id-list") if listed is not None else []
    found = dict(enumerate(names))
    for sink in groups_of(file, r"sink\d+|message-converter"):
        converter = read_named(sink, "msg-conv-config", imported) if sink.is_on else None
        if converter is None:
            continue
        for sensor in groups_of(converter, r"sensor\d{1,9}"):
            identity = sensor.text("id")
            if identity is not None:
                found.setdefault(int(sensor.name.removeprefix("sensor")), identity)
    return found


def _import_detector(file: KeyFile, bundle: str | None, imported: Imported) -> None:
    detector = group_of(file, "primary-gie")
    if detector is None or not detector.is_on:
        imported.leave(file, 1, "there is no [primary-gie]: nothing detects; give the pipeline a bundle")
        return
    is_triton = detector.integer("plugin-type") == 1
    if is_triton:
        imported.leave(file, detector.line, "[primary-gie] runs on Triton (nvinferserver), whose file is not read")
    config = None if is_triton else read_named(detector, "config-file", imported)
    network = group_of(config, "property") if config is not None else None
    interval = detector.integer("interval")
    if interval is None and network is not None:
        interval = network.integer("interval")
    detect: dict[str, Any] = {"every": max(interval or 0, 0) + 1}
    if config is not None and network is not None:
        _import_thresholds(config, detect, imported)
        if bundle is None:
            imported.leave(config, network.line, f"'bundle' is a folder that is not there yet: {_pack(network)}")
    elif bundle is None:
        imported.leave(
            file, detector.line, "'bundle' is a folder that is not there yet: pack the model with vedette pack"
        )
    imported.document["detect"] = detect


def _import_thresholds(config: KeyFile, detect: dict[str, Any], imported: Imported) -> None:
    shared = group_of(config, "class-attrs-all")
    if shared is not None:
        score = shared.number("pre-cluster-threshold")
        score = shared.number("threshold") if score is None else score
        numbers = {"score": score, "nms_iou": shared.number("nms-iou-threshold")}
        detect |= {key: number for key, number in numbers.items() if number is not None and 0 <= number <= 1}
        most = shared.integer("topk")
        if most is not None and most > 0:
            detect["max_detections"] = most
    for group in groups_of(config, r"class-attrs-\d+"):
        imported.leave(config, group.line, f"[{group.name}]: one threshold counts for all classes here; left out")


def _pack(network: Group) -> str:
    """The command that makes a bundle of the model that nvinfer was given."""
    folder = Path(network.file.source).parent
    keys = ("labelfile-path", "custom-network-config", "model-file", "onnx-file")
    labels, cfg, weights, onnx = (folder / name if (name := network.text(key)) else None for key in keys)
    resize = "letterbox" if network.text("maintain-aspect-ratio") in {"1", "true"} else "stretch"
    if cfg is not None and weights is not None:
        return f"vedette pack --cfg {cfg} --weights {weights} --names {labels or 'names.txt'} --out bundle"
    if onnx is not None:
        return f"vedette pack --onnx {onnx} --names {labels or 'names.txt'} --resize {resize} --out bundle"
    return "its model is neither Darknet nor ONNX, and engines cannot be read: train or export it anew"


def _import_sinks(file: KeyFile, imported: Imported) -> None:
    for sink in groups_of(file, r"sink\d+"):
        kind = sink.integer("type")
        if not sink.is_on or kind == 1:
            continue
        if kind == 3:
            imported.document["record"] = "recordings"
            imported.leave(file, sink.line, f"[{sink.name}]: records each camera into the folder 'recordings'")
        elif kind in {2, 4, 5}:
            imported.document["show"] = {}
            imported.leave(file, sink.line, f"[{sink.name}]: the live page takes the place of the window or stream")
        elif kind == 6:
            import_broker(sink, imported)
        else:
            imported.leave(file, sink.line, f"[{sink.name}] of type {kind} left out")
