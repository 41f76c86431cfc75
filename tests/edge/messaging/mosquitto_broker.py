"""Debian's Mosquitto as a test's own process on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest


class Broker:
    """Debian's Mosquitto; `start` waits until it accepts connections, `kill` is SIGKILL to its own process."""

    def __init__(self, program: str, folder: Path, port: int, *settings: str) -> None:
        self.port = port
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self._log = folder / "mosquitto.log"
        lines = [f"listener {port} 127.0.0.1", "persistence false", *(settings or ["allow_anonymous true"])]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"mosquitto did not start: {self._log.read_text()}")

    def pause(self) -> None:
        """Answer nothing until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def mosquitto_program() -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    program = shutil.which("mosquitto", path=path)
    if program is None:
        pytest.skip("no Mosquitto here: apt-get install mosquitto (tests/install_servers.sh does it)")
    return program
