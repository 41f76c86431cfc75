"""A real broker on loopback."""

import os
import shutil
import subprocess

import pytest
from mosquitto_broker import Broker, mosquitto_program


@pytest.fixture
def broker(tmp_path, free_port):
    """A broker that is not started yet."""
    broker = Broker(mosquitto_program(), tmp_path, free_port)
    yield broker
    broker.kill()


@pytest.fixture
def guarded_broker(tmp_path, free_port):
    """A running broker that lets in only `camera` with the password `s3cret`."""
    program = mosquitto_program()
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/bin"]))
    if tool is None:
        pytest.skip("no mosquitto_passwd here: apt-get install mosquitto")
    passwords.touch(mode=0o600)
    subprocess.run([tool, "-b", str(passwords), "camera", "s3cret"], check=True, capture_output=True)
    passwords.chmod(0o644)
    broker = Broker(program, tmp_path, free_port, "allow_anonymous false", f"password_file {passwords}", "user root")
    broker.start()
    yield broker
    broker.kill()
