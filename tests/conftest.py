"""What every test may use: where the real data lies, and free loopback ports."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.s3_servers import S3Server, moto_server, rclone_server
from unused_ports import unused_port

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: every process would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands keep for their user (counts, the page's token) is kept here, and not for whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


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
    return unused_port()


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """rclone's S3 server with one bucket; it checks signatures. Each test takes a prefix of its own."""
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    """moto's S3 server with one bucket. Each test takes a prefix of its own."""
    with moto_server() as server:
        yield server
