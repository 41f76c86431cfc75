"""What every test may use: where the real data lies, and free loopback ports."""

import os
import socket
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures, weights and videos; the test is skipped where it is absent."""
    folder = Path(os.environ.get("VEDETTE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: VEDETTE_DATA names {folder}, which is no folder")
    return folder


@pytest.fixture(scope="session")
def darknet_oracle(real_data: Path) -> Path:
    """Detections that Darknet itself made on the real pictures, beside the data folder."""
    folder = real_data.parent / "oracles" / "darknet"
    if not folder.is_dir():
        pytest.skip(f"no Darknet oracle: {folder} is no folder")
    return folder


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
