"""The application file: sources, muxer, detector, tracker, analytics and sinks, in the words of deepstream-app."""

import re
from pathlib import Path

from vedette.contracts.pipeline import Camera
from vedette.edge.deepstream import render_settings as names
from vedette.edge.deepstream.dialects import INSTALL_FOLDER, TRACKER_LIBRARY, version_order
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.key_file_text import Value, write_key_file
from vedette.edge.deepstream.render_settings import Rendering

TILES_PX = (1280, 720)
TRACKER_PX = (640, 384)  # multiples of 32, as NvDCF wants
RECORD_BITRATE = 4_000_000
Keys = dict[str, Value | None]


def render_app(rendering: Rendering) -> bytes:
    """`app.txt`.

    Raises:
        DeepStreamError: a camera cannot be a source of deepstream-app on this target.
    """
    cameras = rendering.pipeline.cameras
    groups: list[tuple[str, Keys]] = []
    groups.append(("application", {"enable-perf-measurement": 1, "perf-measurement-interval-sec": 5}))
    groups.append(("tiled-display", _tiles(len(cameras))))
    groups += [(f"source{number}", _source(camera, rendering)) for number, camera in enumerate(cameras)]
    groups += [(f"sink{number}", sink) for number, sink in enumerate(_sinks(rendering))]
    groups.append(("osd", {"enable": rendering.pipeline.record is not None, "border-width": 2, "text-size": 12}))
    groups.append(("streammux", _muxer(rendering)))
    groups.append(("primary-gie", _detector(rendering)))
    groups.append(("tracker", _tracker(rendering)))
    if rendering.has_rules:
        groups.append(("nvds-analytics", {"enable": 1, "config-file": names.ANALYTICS_FILE}))
    loops = all(camera.loop for camera in cameras)
    groups.append(("tests", {"file-loop": 1 if loops else 0}))
    comment = f"deepstream-app {rendering.dialect.version}, {rendering.target.title}; written by vedette, see README.md"
    return write_key_file(comment, groups)


def needs_password(camera: Camera) -> bool:
    """Whether run.sh puts a user's name and password into the camera's address when it starts."""
    return camera.username is not None


def _tiles(count: int) -> Keys:
    columns = 1
    while columns * columns < count:
        columns += 1
    return {
        "enable": 1,
        "rows": -(-count // columns),
        "columns": columns,
        "width": TILES_PX[0],
        "height": TILES_PX[1],
        "gpu-id": 0,
    }


def _source(camera: Camera, rendering: Rendering) -> Keys:
    url = camera.url
    device = re.fullmatch(r"(usb|csi):(\d+)", url)
    width, height = rendering.demand.camera_size_px
    shape: Keys = {
        "camera-width": width,
        "camera-height": height,
        "camera-fps-n": round(rendering.demand.camera_fps),
        "camera-fps-d": 1,
    }
    if device is not None and device[1] == "usb":
        return {"enable": 1, "type": 1, **shape, "camera-v4l2-dev-node": int(device[2])}
    if device is not None:
        if not rendering.target.is_jetson:
            raise DeepStreamError(f"camera '{camera.name}': csi cameras are read on Jetson boards only")
        return {"enable": 1, "type": 5, **shape, "camera-csi-sensor-id": int(device[2])}
    if url.lower().startswith(("rtsp://", "rtsps://")):
        return {
            "enable": 1,
            "type": 4,
            "uri": url,
            "num-sources": 1,
            "gpu-id": 0,
            "latency": 100,
            "select-rtp-protocol": 4,  # TCP, as Vedette's own reader
            "rtsp-reconnect-interval-sec": 10,
            "rtsp-reconnect-attempts": -1,
        }
    if not camera.is_live:
        if any(character in url for character in "%?# "):
            raise DeepStreamError(f"camera '{camera.name}': '{url}' has %, ?, # or a blank; deepstream-app reads a URI")
        url = Path(url).absolute().as_uri()
    return {"enable": 1, "type": 2, "uri": url, "num-sources": 1, "gpu-id": 0}


def _sinks(rendering: Rendering) -> list[Keys]:
    paced = any(camera.realtime for camera in rendering.pipeline.cameras)
    sinks: list[Keys] = [{"enable": 1, "type": 1, "sync": 1 if paced else 0, "source-id": 0, "gpu-id": 0}]
    if rendering.pipeline.record is not None:
        hardware = rendering.target.has_encoder
        sinks.append(
            {
                "enable": 1,
                "type": 3,
                "container": 2,  # Matroska can be played up to where a killed process had come, MP4 cannot
                "codec": 1,
                "enc-type": 0 if hardware else 1,
                "sync": 0,
                "bitrate": RECORD_BITRATE,
                "output-file": names.RECORD_FILE,
                "source-id": 0,
            }
        )
    if rendering.broker is not None:
        broker = rendering.broker
        sinks.append(
            {
                "enable": 1,
                "type": 6,
                "msg-conv-config": names.CONVERTER_FILE,
                "msg-conv-payload-type": 1,  # minimal: one message a frame
                "msg-conv-msg2p-new-api": True,  # without it deepstream-app sends nothing
                "msg-conv-frame-interval": rendering.sizing.interval + 1,
                "msg-broker-proto-lib": f"{INSTALL_FOLDER}/lib/{broker.library}",
                "msg-broker-conn-str": f"{broker.host};{broker.port}",
                "msg-broker-config": names.BROKER_FILE,
                "topic": broker.topic,
                "sync": 0,
            }
        )
    return sinks


def _muxer(rendering: Rendering) -> Keys:
    width, height = rendering.sizing.muxer_size_px
    return {
        "gpu-id": 0,
        "live-source": 1 if any(camera.is_live for camera in rendering.pipeline.cameras) else 0,
        "batch-size": rendering.sizing.batch,
        "batched-push-timeout": round(1.2e6 / rendering.demand.camera_fps),  # microseconds: a frame and a fifth
        "width": width,
        "height": height,
        "enable-padding": 0,
        "nvbuf-memory-type": 0,
    }


def _detector(rendering: Rendering) -> Keys:
    return {
        "enable": 1,
        "gpu-id": 0,
        "batch-size": rendering.network_batch,
        "interval": rendering.sizing.interval,
        "gie-unique-id": 1,
        "nvbuf-memory-type": 0,
        "config-file": names.NVINFER_FILE,
    }


def _tracker(rendering: Rendering) -> Keys:
    is_old = rendering.dialect.order < version_order("6.2")
    return {
        "enable": 1,
        "tracker-width": TRACKER_PX[0],
        "tracker-height": TRACKER_PX[1],
        "ll-lib-file": f"{INSTALL_FOLDER}/lib/{TRACKER_LIBRARY}",
        "ll-config-file": names.TRACKER_FILE,
        "gpu-id": 0,
        "enable-batch-process": 1 if is_old else None,
        "display-tracking-id": 1,
    }
