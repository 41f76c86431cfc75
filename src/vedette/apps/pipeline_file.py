"""Pipelines for `vedette run`: from a YAML file, or from flags that say the same; and the secrets they only name.

A file is read with PyYAML's safe loader (no objects), capped in size and in nodes (aliases cannot blow it up), and a
key given twice is refused instead of silently winning. All mistakes are reported together (`pipeline_errors`). Relative
paths in a file are relative to the file's folder, those in flags to the working directory.
"""

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vedette.apps.pipeline_errors import PipelineError, check_pipeline
from vedette.apps.pipeline_flags import flags_to_pipeline
from vedette.contracts.camera_url import is_live_url
from vedette.contracts.errors import InputError
from vedette.contracts.pipeline import Camera, Clips, EventTarget, FileTarget, Pipeline, Publish, Show, Tls
from vedette.storage.address import is_s3_address

if TYPE_CHECKING:
    from vedette.edge.stream.camera_spec import CameraSpec

__all__ = ["PipelineError", "camera_specs", "flags_to_pipeline", "parse_pipeline", "read_pipeline", "read_secret"]

MOST_BYTES = 1 << 20  # a thousand cameras with ten lines each are about 0.7 MB
MOST_NODES = 200_000  # after aliases are followed
SECRET_MOST_BYTES = 4096


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file; its relative paths become paths below the file's folder.

    Raises:
        PipelineError: the file cannot be read, is no YAML, or says something wrong; every mistake is listed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"the pipeline file {path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is larger than {MOST_BYTES} bytes; that is no pipeline file")
    return _below(parse_pipeline(content, str(path)), path.parent)


def parse_pipeline(content: str | bytes, source: str = "pipeline") -> Pipeline:
    """The pipeline that a YAML text says; paths are left as they are written.

    Raises:
        PipelineError: it is no YAML, or says something wrong.
    """
    try:
        document = yaml.load(content, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "somewhere"
        raise PipelineError(source, [f"{where}: {error.problem or error.context or 'no YAML'}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise PipelineError(source, [f"no YAML text: {str(error).splitlines()[0]}"]) from error
    except RecursionError as error:
        raise PipelineError(source, ["nested too deep"]) from error
    if not _is_small(document):
        raise PipelineError(source, [f"more than {MOST_NODES} values, or a value that contains itself"])
    return check_pipeline(document, source)


def camera_specs(pipeline: Pipeline) -> "list[CameraSpec]":
    """What to open for each camera, with its password read.

    Raises:
        InputError: a password cannot be read.
    """
    from vedette.edge.stream.camera_spec import CameraSpec

    return [
        CameraSpec(
            camera.name,
            camera.url,
            username=camera.username,
            password=read_secret(camera.password_file, camera.password_env),
            loop=camera.loop,
            realtime=camera.realtime,
            gate=pipeline.detect.gate,
        )
        for camera in pipeline.cameras
    ]


def read_secret(
    password_file: str | None, password_env: str | None, environment: Mapping[str, str] = os.environ
) -> str | None:
    """The password that a file (its first line) or an environment variable holds; None when neither is named.

    Raises:
        InputError: the file or variable is missing or empty. The message never holds the password.
    """
    if password_env is not None:
        secret = environment.get(password_env)
        if not secret:
            raise InputError(f"the environment variable {password_env} (named by 'password_env') is empty or not set")
        return secret
    if password_file is None:
        return None
    try:
        with Path(password_file).open("rb") as file:
            text = file.read(SECRET_MOST_BYTES).decode()
    except OSError as error:
        raise InputError(f"the password file {password_file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the password file {password_file} is no UTF-8 text") from error
    secret = text.splitlines()[0] if text else ""
    if not secret:
        raise InputError(f"the first line of the password file {password_file} is empty")
    return secret


class _Loader(yaml.SafeLoader):
    """The safe loader, with keys given twice refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _is_small(document: Any) -> bool:
    """Whether at most `MOST_NODES` values are met on the way through, aliases followed each time."""
    count, waiting = 0, [document]
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_NODES:
            return False
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple, set)):
            waiting.extend(value)
    return True


def _below(pipeline: Pipeline, folder: Path) -> Pipeline:
    """The same pipeline with every relative path put below a folder."""

    def place(path: str | None) -> str | None:
        return None if path is None else str(folder / Path(path).expanduser())

    def place_camera(camera: Camera) -> Camera:
        url = camera.url if is_live_url(camera.url) else place(camera.url)
        return camera.model_copy(update={"url": url, "password_file": place(camera.password_file)})

    def place_target(target: EventTarget) -> EventTarget:
        if isinstance(target, FileTarget):
            return target.model_copy(update={"path": place(target.path)})
        return target.model_copy(update={"password_file": place(target.password_file)})

    def place_show(show: Show | None) -> Show | None:
        if show is None:
            return None
        tls = show.tls
        if isinstance(tls, Tls):
            tls = tls.model_copy(update={"cert": place(tls.cert), "key": place(tls.key)})
        return show.model_copy(update={"tls": tls, "token_file": place(show.token_file)})

    def place_video() -> dict[str, Publish | Clips | None]:
        publish, clips = pipeline.publish, pipeline.clips
        if publish is not None:
            publish = publish.model_copy(
                update={"password_file": place(publish.password_file), "ca_file": place(publish.ca_file)}
            )
        if clips is not None:
            clips = clips.model_copy(update={"folder": place(clips.folder)})
        return {"publish": publish, "clips": clips}

    return pipeline.model_copy(
        update={
            **place_video(),
            "show": place_show(pipeline.show),
            "bundle": pipeline.bundle if is_s3_address(pipeline.bundle) else place(pipeline.bundle),
            "cameras": tuple(place_camera(camera) for camera in pipeline.cameras),
            "events": tuple(place_target(target) for target in pipeline.events),
            "record": place(pipeline.record),
            "counts": place(pipeline.counts) if pipeline.counts else pipeline.counts,
        }
    )
