"""A program in the place of `docker` where there is none: build, tag, login and push, at least as strict.

Flags and arguments are those of Docker's command-line reference; everything else is refused. Nothing is built: what a
build needs must be there (context, Dockerfile, what it copies) or known (build arguments). A push goes to ECR by boto3:
its repository must be there, the registry logged in to with ECR's own password. Images are kept in $DOCKER_STATE.
"""

import argparse
import base64
import json
import os
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from string import Template
from typing import Any, NoReturn

import boto3

PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"  # distribution/reference's grammar
HOST = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]+)?|localhost(?::[0-9]+)?|[A-Za-z0-9-]+:[0-9]+)"
REFERENCE = re.compile(
    rf"(?:(?P<host>{HOST})/)?(?P<path>{PART}(?:/{PART})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?"
)
INSTRUCTIONS = frozenset({"ARG", "FROM", "ENV", "COPY", "RUN", "ENTRYPOINT", "CMD"})  # what ours needs
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PREDEFINED = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"})


def main(arguments: list[str]) -> None:
    commands = {"build": build, "tag": tag, "login": login, "push": push}
    if not arguments or arguments[0] not in commands:
        fail(f"docker: unknown command: {' '.join(arguments[:1])}")
    place = Path(os.environ["DOCKER_STATE"])
    state = json.loads(place.read_text()) if place.exists() else {"images": {}, "logins": [], "pushed": []}
    commands[arguments[0]](arguments[1:], state)
    place.write_text(json.dumps(state))


def build(arguments: list[str], state: dict[str, Any]) -> None:
    """docker build [-f FILE] [-t NAME]... [--build-arg NAME=VALUE]... PATH"""
    parser = Parser("build")
    parser.add_argument("-f", "--file")
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("context")
    given = parser.parse_args(arguments)
    context = Path(given.context)
    if not context.is_dir():
        fail(f"unable to prepare context: path {context} not found")
    file = Path(given.file) if given.file else context / "Dockerfile"
    if not file.is_file():
        fail(f"failed to read dockerfile: open {file}: no such file or directory")
    lines = instructions(file.read_text("utf-8"))
    declared = {re.match(r"\w+", rest)[0]: rest.partition("=")[2] for word, rest in lines if word == "ARG"}  # type: ignore[index]
    for one in given.build_arg:
        name, is_set, value = one.partition("=")
        if name not in declared and name not in PREDEFINED:
            fail(f"[Warning] One or more build-args [{name}] were not consumed")
        if not is_set or not value:
            fail(f"--build-arg {name} has no value")
        declared[name] = value
    check_references(lines, declared)
    check_copies(lines, context)
    for name in given.tag:
        state["images"][parsed(name)[0]] = declared


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's, with what follows the word; comments are left out, also between continued lines."""
    whole = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).replace("\\\n", " ")
    found = [(line.split()[0], line.partition(" ")[2].strip()) for line in whole.splitlines() if line.strip()]
    for word, rest in found:
        if word not in INSTRUCTIONS or not rest:
            fail(f"dockerfile parse error: unknown instruction: {word}")
        if word in {"CMD", "ENTRYPOINT"} and rest.startswith("["):
            json.loads(rest)
    if next((word for word, _ in found if word != "ARG"), "") != "FROM":
        fail("dockerfile parse error: no build stage in current context")
    return found


def check_references(lines: list[tuple[str, str]], declared: dict[str, str]) -> None:
    """What FROM names is an image; only arguments before it count there, and only those after it in the stage."""
    known: set[str] = set()
    for word, rest in lines:
        if word == "ARG":
            known.add(re.match(r"\w+", rest)[0])  # type: ignore[index]
        elif word == "FROM":
            parsed(Template(rest).safe_substitute({name: declared[name] for name in known}).split()[0])
            known = set()
        elif word == "RUN":
            missing = {name for name in re.findall(r"\$\{(\w+)\}", rest) if name in declared} - known
            if missing:
                fail(f"RUN uses {', '.join(missing)}, declared in another stage only")


def check_copies(lines: list[tuple[str, str]], context: Path) -> None:
    """What is copied lies in the context and is not ignored."""
    ignore = context / ".dockerignore"
    ignored = ignore.read_text("utf-8").split() if ignore.is_file() else []
    for word, rest in lines:
        if word not in {"COPY", "ADD"}:
            continue
        *sources, _ = [one for one in rest.split() if not one.startswith("--")]
        for source in sources:
            found = [path.relative_to(context).as_posix() for path in context.glob(source)]
            if not [name for name in found if not any(fnmatch(name, one) for one in ignored)]:
                fail(f'failed to solve: lstat {source}: no such file or directory in "{context}"')


def tag(arguments: list[str], state: dict[str, Any]) -> None:
    """docker tag SOURCE TARGET"""
    if len(arguments) != 2 or any(one.startswith("-") for one in arguments):
        fail("docker tag requires exactly 2 arguments")
    source, target = (parsed(one)[0] for one in arguments)
    if source not in state["images"]:
        fail(f"Error response from daemon: No such image: {source}")
    state["images"][target] = state["images"][source]


def login(arguments: list[str], state: dict[str, Any]) -> None:
    """docker login --username NAME --password-stdin SERVER"""
    parser = Parser("login")
    parser.add_argument("-u", "--username", required=True)
    parser.add_argument("--password-stdin", action="store_true", required=True)
    parser.add_argument("server")
    given = parser.parse_args(arguments)
    token = boto3.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    expected = base64.b64decode(token).decode()
    if re.fullmatch(HOST, given.server) is None:
        fail(f"{given.server} is no registry")
    if f"{given.username}:{sys.stdin.read().strip()}" != expected:
        fail(f"Error response from daemon: login attempt to https://{given.server}/v2/ failed: 400 Bad Request")
    state["logins"].append(given.server)
    sys.stdout.write("Login Succeeded\n")


def push(arguments: list[str], state: dict[str, Any]) -> None:
    """docker push NAME[:TAG]"""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        fail("docker push requires exactly 1 argument")
    name, found = parsed(arguments[0])
    if name not in state["images"]:
        fail(f"An image does not exist locally with the tag: {name}")
    if found["host"] not in state["logins"]:
        fail("no basic auth credentials")
    ecr = boto3.client("ecr")
    uris = [one["repositoryUri"] for one in ecr.describe_repositories()["repositories"]]
    if f"{found['host']}/{found['path']}" not in uris:
        fail(f"name unknown: The repository with name '{found['path']}' does not exist in the registry")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": "sha256:" + "0" * 64}, "layers": []}
    ecr.put_image(repositoryName=found["path"], imageTag=found["tag"], imageManifest=json.dumps(manifest))
    state["pushed"].append(name)


def parsed(name: str) -> tuple[str, dict[str, str]]:
    """An image's name in full, and its parts."""
    found = REFERENCE.fullmatch(name)
    if found is None:
        fail(f'invalid argument "{name}": invalid reference format')
    parts = {**found.groupdict(""), "tag": found["tag"] or "latest"}
    return f"{parts['host']}/{parts['path']}:{parts['tag']}".lstrip("/"), parts


class Parser(argparse.ArgumentParser):
    """Flags in full only."""

    def __init__(self, command: str) -> None:
        super().__init__(prog=f"docker {command}", allow_abbrev=False, add_help=False)


def fail(message: str) -> NoReturn:
    sys.exit(message)


if __name__ == "__main__":
    main(sys.argv[1:])
