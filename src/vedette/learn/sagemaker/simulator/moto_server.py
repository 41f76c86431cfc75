"""moto's server as a process on a free loopback port: S3, CloudWatch logs, STS and what else AWS has, all in memory."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from vedette.learn.sagemaker.container.supervising import die_with_parent
from vedette.learn.sagemaker.errors import SimulatorError

START_S = 120.0
END_S = 10.0
TRIES = 5  # another program may take the port between its choice and its use
HOST = "127.0.0.1"


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """The address of a running server; what it prints goes into `log`.

    Raises:
        SimulatorError: moto is not installed, or does not start.
    """
    if find_spec("moto") is None or find_spec("flask") is None:
        raise SimulatorError("the simulator needs 'moto'; install it with: pip install 'vedette[simulator]'")
    for _ in range(TRIES):
        port = free_port()
        process = _start(log, port)
        try:
            if _listens(process, port):
                yield f"http://{HOST}:{port}"
                return
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    raise SimulatorError(f"moto's server does not start: {log} says why")


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _start(log: Path, port: int) -> "subprocess.Popen[bytes]":
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))},
            start_new_session=True,  # Ctrl-C is this process's matter
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - only calls what was loaded before
        )


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    until_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until_s:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return process.poll() is None
        time.sleep(0.05)
    return False
