"""The image's way to ECR, as the tutorial for AWS and the container's page show it.

There is no Docker where tests run: a strict stand-in for its program takes the commands as they stand; ECR is moto's.
"""

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

import boto3
import pytest

from documented_commands import REPOSITORY, TUTORIAL, commands_of, expressions_of_images
from simulators import aws_tool, docker_tool
from simulators.s3_servers import S3Server
from vedette.learn.sagemaker.job_settings import parse_job_settings
from vedette.version import __version__

PAGE = REPOSITORY / "docs" / "how-to" / "sagemaker-container.md"
WHEEL = f"vedette-{__version__}-py3-none-any.whl"
COPIED = ("pyproject.toml", "Makefile", "deploy/sagemaker/Dockerfile")


class Source:
    """Vedette's source as far as an image needs it, and the tools: docker, aws, and a `make` that makes a wheel."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.folder = folder / "source"
        for name in COPIED:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, self.folder / name)
        self.state = folder / "docker.json"
        tools = folder / "bin"
        tools.mkdir()
        build = f'make -n -C "{REPOSITORY}" "$@" && mkdir -p dist && touch dist/{WHEEL}'  # its target must be there
        path = os.environ["PATH"]
        programs = {
            "docker": f'exec "{sys.executable}" "{docker_tool.__file__}" "$@"',
            "aws": f'exec "{sys.executable}" "{aws_tool.__file__}" "$@"',
            "make": f'PATH="{path}"; {build}',
        }
        for name, line in programs.items():
            (tools / name).write_text(f"#!/bin/sh\n{line}\n")
            (tools / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        aws = {**server.environment(), "AWS_ENDPOINT_URL": server.url, "PYTHONPATH": str(REPOSITORY / "tests")}
        self.environment = {**kept, **aws, "PATH": f"{tools}:{path}", "DOCKER_STATE": str(self.state)}

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{script}"], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path, moto_s3: S3Server) -> Source:
    return Source(tmp_path, moto_s3)


def set_up() -> str:
    """The tutorial's lines that name things, and that make the repository."""
    lines = commands_of(TUTORIAL).splitlines()
    return "\n".join(line for line in lines if line.startswith(("export ", "aws ecr create-repository ")))


def image_commands() -> str:
    (block,) = re.findall(r"^```\n(make dist\n.*?)^```", TUTORIAL.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return str(block)


def clean_up() -> str:
    (line,) = (one for one in commands_of(TUTORIAL).splitlines() if one.startswith("aws ecr delete-repository "))
    return line


def test_the_tutorial_builds_and_pushes_the_image_that_its_jobs_name(source: Source) -> None:
    used = expressions_of_images(TUTORIAL)
    assert len(used) == 2
    done = source.run(f"{set_up()}\n{image_commands()}\nprintf 'used %s\\n' {' '.join(used)}\n{clean_up()}")
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads(source.state.read_text())
    named = re.findall(r"^used (.+)$", done.stdout, re.MULTILINE)
    assert state["pushed"] == [*set(named)]
    assert state["images"][named[0]]["TORCH_INDEX"] == "https://download.pytorch.org/whl/cu128"
    assert named[0].endswith(f".dkr.ecr.us-east-1.amazonaws.com/vedette:{__version__}")
    settings = {"role": "arn:aws:iam::123456789012:role/x", "instance": "ml.g5.xlarge", "output": "s3://b/jobs"}
    assert parse_job_settings({**settings, "image": named[0], "channels": {"train": "s3://b/x"}}).image == named[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS tool is not installed")
def test_the_true_aws_tool_takes_the_commands_of_ecr(source: Source) -> None:
    (Path(source.environment["PATH"].partition(":")[0]) / "aws").unlink()
    login = next(line for line in image_commands().splitlines() if "docker login" in line)
    done = source.run(f"{set_up()}\n{login}\n{clean_up()}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Login Succeeded" in done.stdout


class Docker:
    """The stand-in in this process, on the tutorial's own lines with one of them changed."""

    def __init__(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        (source.folder / "dist").mkdir()
        (source.folder / "dist" / WHEEL).touch()
        monkeypatch.chdir(source.folder)
        for name, value in source.environment.items():
            monkeypatch.setenv(name, value)
        self.names = {"REGISTRY": "123456789012.dkr.ecr.us-east-1.amazonaws.com"}
        self.names["IMAGE"] = f"{self.names['REGISTRY']}/vedette:1"
        self._monkeypatch = monkeypatch

    def __call__(self, line: str) -> None:
        token = boto3.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(base64.b64decode(token).decode().partition(":")[2]))
        docker_tool.main(shlex.split(Template(line).substitute(self.names).partition(" ")[2]))


@pytest.fixture
def docker(source: Source, monkeypatch: pytest.MonkeyPatch) -> Docker:
    return Docker(source, monkeypatch)


def test_the_builds_of_the_containers_page_and_of_the_dockerfile_are_builds(docker: Docker) -> None:
    shown = [line.partition("#")[0] for line in commands_of(PAGE, "").splitlines() if line.startswith("docker ")]
    told = (REPOSITORY / "deploy" / "sagemaker" / "Dockerfile").read_text("utf-8").splitlines()
    shown += [re.sub(r" \. .*", " .", line[1:].strip()) for line in told if line.startswith("#   docker ")]
    assert len(shown) == 6
    for line in shown:
        docker(re.sub(r"BASE=[A-Z-]+", "BASE=yours", line))  # what a reader puts there


LINES = [line.split("| ")[-1] for line in image_commands().splitlines() if "docker " in line]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("-f deploy/sagemaker/Dockerfile", "-f deploy/Dockerfile", "failed to read dockerfile"),
        ("cu128 .", "cu128 nowhere", "path nowhere not found"),
        ("cu128 .", "cu128 deploy", "lstat dist/vedette-"),
        ("TORCH_INDEX=", "TORCH_URL=", "[TORCH_URL] were not consumed"),
        ("TORCH_INDEX=", "BASE=", "invalid reference format"),
        ("-t $IMAGE", "-t $IMAGE:latest", "invalid reference format"),
        ("-t $IMAGE", "-t vedette", "does not exist locally"),
        ("--build-arg", "--buildarg", "unrecognized arguments: --buildarg"),
        ("docker build", "docker make", "unknown command: make"),
        ("--username AWS", "--username me", "login attempt"),
        ("$REGISTRY", "nowhere.example.org", "no basic auth credentials"),
        ("docker push $IMAGE", "docker push $IMAGE --all", "requires exactly 1 argument"),
        ("docker push", "docker push", "The repository with name 'vedette' does not exist"),
    ],
)
def test_the_stand_in_refuses_what_docker_would(
    docker: Docker, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    assert any(old in line for line in LINES)
    with pytest.raises(SystemExit) as caught:
        for line in LINES:
            docker(line.replace(old, new))
    assert told in f"{caught.value}{capsys.readouterr().err}"


def test_another_name_can_be_given_to_an_image(docker: Docker, source: Source) -> None:
    docker("docker build -f deploy/sagemaker/Dockerfile -t vedette-train .")
    docker("docker tag vedette-train x/y:1")
    assert [*json.loads(source.state.read_text())["images"]] == ["vedette-train:latest", "x/y:1"]
    with pytest.raises(SystemExit, match="No such image"):
        docker("docker tag nothing x")
