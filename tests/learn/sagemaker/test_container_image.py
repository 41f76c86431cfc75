"""What the Dockerfile installs is enough to train and pack, and nothing more than it says.

There is no Docker where tests run: an empty virtual environment takes the image's place.
"""

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from opt_ml import command, environment, make_job

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKERFILE = REPOSITORY / "deploy" / "sagemaker" / "Dockerfile"

NO_REGISTRY = re.compile(r"from versions: none|NewConnectionError|ConnectTimeoutError|NameResolutionError|ProxyError")


def instructions() -> list[str]:
    """The Dockerfile's, each on one line, comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def argument(name: str) -> str:
    return next(line.partition("=")[2] for line in instructions() if line.startswith(f"ARG {name}="))


def test_the_program_is_started_in_exec_form_so_that_signals_reach_it() -> None:
    (entry,) = (line for line in instructions() if line.startswith("ENTRYPOINT"))
    assert json.loads(entry.removeprefix("ENTRYPOINT")) == ["python", "-m", "vedette.learn.sagemaker.container"]
    assert not any("/opt/ml" in line for line in instructions())  # reserved: SageMaker mounts over it


def test_torch_is_the_one_that_learn_is_tested_with() -> None:
    assert f'"torch=={argument("TORCH")}"' in (REPOSITORY / "pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_job_runs_with_nothing_but_what_the_dockerfile_installs(tmp_path: Path) -> None:
    def must(*arguments: str | Path) -> None:
        done = subprocess.run([str(one) for one in arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    must(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", REPOSITORY)
    (wheel,) = (tmp_path / "dist").glob("vedette-*.whl")
    (run,) = (line for line in instructions() if line.startswith("RUN"))
    asked = re.findall(r"pip install (?:--index-url \S+ )?\"([^\"]+)\"", run)
    torch, ours = (text.replace("${TORCH}", argument("TORCH")) for text in asked)
    assert ours == "$(ls /tmp/wheels/vedette-*.whl)[container]"
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    for wanted in (torch, f"{wheel}[container]"):  # the index for CPU is this machine's own
        install(python, wanted)
    base = make_job(tmp_path / "ml", epochs="1")
    variables = {name: value for name, value in environment().items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command(base, str(python)), cwd=tmp_path, capture_output=True, text=True, check=False, env=variables
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (base / "model" / "bundle" / "bundle.json").is_file()
    assert (base / "model" / "best.weights").is_file()
    packages = {entry["name"].lower() for entry in json.loads(listed(python))}
    assert {"vedette", "torch", "onnxruntime"} <= packages
    assert not packages & {"boto3", "av", "openvino", "nncf", "starlette", "pytest"}


def install(python: Path, wanted: str) -> None:
    """As the Dockerfile does; the test is skipped where no package can be had."""
    done = subprocess.run([python, "-m", "pip", "install", wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0 and NO_REGISTRY.search(done.stderr):
        pytest.skip(f"no package registry: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("index", "told"),
    [("http://127.0.0.1:9/simple", "from versions: none"), ("nowhere://x/simple", "from versions: none")],
)
def test_the_check_of_the_registry_can_tell_one_that_is_not_there(index: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--retries=0", "--index-url", index, "vedette-nothing"],
        capture_output=True, text=True, check=False, env={"PATH": "", "PIP_CONFIG_FILE": "/dev/null"},
    )  # fmt: skip
    assert done.returncode != 0
    assert told in done.stderr
    assert NO_REGISTRY.search(done.stderr)


def listed(python: Path) -> str:
    return subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    ).stdout
