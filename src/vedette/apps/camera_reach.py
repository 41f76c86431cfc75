"""Whether the cameras of a pipeline can be reached: a connection and one question, no picture, no password sent."""

from __future__ import annotations

import shlex
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from vedette.contracts.pipeline import Camera, Pipeline
    from vedette.edge.jetson.findings import Finding

PATIENCE_S = 5.0
CAMERA_PORTS = ("554", "8554", "10554", "5554", "7070")  # of RTSP: assigned, and as cameras and servers come
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def reach_cameras(pipeline: Pipeline) -> list[Finding]:
    """One finding for each camera, all asked at once."""
    with ThreadPoolExecutor(max_workers=16) as asking:
        return list(asking.map(reach_camera, pipeline.cameras))


def reach_camera(camera: Camera) -> Finding:
    """Ask one camera."""
    from vedette.edge.jetson.findings import gap, good

    topic, url = f"camera {camera.name}", camera.url
    kind, _, number = url.partition(":")
    if kind in {"usb", "csi"} and number.isdecimal():
        device = Path(f"/dev/video{number}")
        if device.exists():
            return good(topic, f"{device} is there")
        return gap(topic, f"{device} is not there; those that are:", "ls /dev/video*")
    if "://" not in url:
        if Path(url).is_file():
            return good(topic, f"{url} is there")
        return gap(topic, f"{url} is not there; what is beside it:", f"ls -l {shlex.quote(str(Path(url).parent))}")
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme.lower()]
    try:
        with socket.create_connection((host, port), PATIENCE_S) as line:
            answer = _ask_rtsp(line, url) if parts.scheme.lower() == "rtsp" else None
    except OSError as error:
        words = f"{host}:{port} cannot be reached ({error.strerror or error})"
        return gap(topic, f"{words}; is it on, in this network, with this address?", f"ping -c 3 {host}")
    if answer is not None and not answer.startswith("RTSP/1."):
        words = f"{host}:{port} takes connections and does not speak RTSP; of the ports that cameras use it listens on:"
        return gap(topic, words, listening_ports(host))
    return good(topic, f"{host}:{port} answers")


def listening_ports(host: str) -> str:
    """The command that says on which of the usual ports a host takes connections; it needs bash alone."""
    tried = f"for port in {' '.join(CAMERA_PORTS)}; do (: < /dev/tcp/$0/$port) 2>/dev/null && echo $port; done"
    return f"timeout 20 bash -c {shlex.quote(tried)} {shlex.quote(host)}"


def _ask_rtsp(line: socket.socket, url: str) -> str:
    """The first bytes of the answer to OPTIONS, which needs no password."""
    line.settimeout(PATIENCE_S)
    line.sendall(f"OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: vedette\r\n\r\n".encode())
    return line.recv(64).decode("latin-1")
