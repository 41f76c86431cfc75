"""What a training job on SageMaker is asked for with: from flags or a YAML file, parsed once, every mistake listed.

Times are seconds, or text such as `4h`; numbers among hyper-parameters, tags and variables become text, as SageMaker
has only text there. Whether the parts fit each other, and AWS, is `job_checks`' matter. YAML is read by
`strict_yaml`, bounded.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vedette.learn.data.strict_yaml import YamlMistakeError, parse_strict_yaml
from vedette.learn.sagemaker.errors import RequestError

MOST_FILE_BYTES = 1 << 18  # 100 hyper-parameters and 100 variables of their greatest lengths are about 0.15 MB
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    """Whole seconds from `90m`; a number is seconds already."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd]?)\s*", value)
    if found is None:
        raise ValueError("no time; write for example 90m, 4h or 2d")
    return round(float(found[1]) * _UNITS_S[found[2]])


def _text(value: object) -> object:
    """A number of YAML as text; yes, no and nothing are refused, since nobody can tell what text they were."""
    if isinstance(value, bool) or value is None:
        raise ValueError("is read as yes, no or nothing; put quotes around it")
    return str(value) if isinstance(value, int | float) else value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=1)]
Text = Annotated[str, BeforeValidator(_text)]


class JobSettings(BaseModel):
    """One job. Only the first five have no default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    role: str  # ARN of the execution role
    instance: str  # ml.g5.xlarge
    image: str  # in ECR: ours, or one of AWS's PyTorch images (then `wheel` is needed)
    output: str  # s3://BUCKET/PREFIX; the job's name is added below it by SageMaker
    channels: dict[str, str]  # name -> s3://BUCKET/PREFIX
    hyperparameters: dict[str, Text] = {}
    name: str | None = None  # made from the time without one
    wheel: str | None = None  # s3:// folder with Vedette's wheel, for an image without Vedette in it
    instances: int = 1
    mode: Literal["File", "FastFile", "Pipe"] = "File"
    volume_gb: int = 50
    spot: bool = False
    max_run: Seconds = 86400  # SageMaker's own default
    max_wait: Seconds | None = None
    max_pending: Seconds | None = None
    keep_alive: Seconds | None = None
    retries: int | None = None
    checkpoints: str | None = None  # s3://; below the output without one
    environment: dict[str, Text] = {}
    tags: dict[str, Text] = {}
    isolated: bool = False  # no network in the container
    encrypted_traffic: bool = False  # between hosts
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    output_key: str | None = None  # KMS
    volume_key: str | None = None  # KMS


def parse_job_settings(given: Mapping[str, Any], source: str = "job") -> JobSettings:
    """Settings from values by name.

    Raises:
        RequestError: lists every mistake with its place.
    """
    lists = {name: tuple(given[name]) for name in ("subnets", "security_groups") if isinstance(given.get(name), list)}
    try:
        return JobSettings.model_validate({**given, **lists})
    except ValidationError as error:
        raise RequestError(source, [_mistake(one["loc"], one["msg"], one["type"]) for one in error.errors()]) from error


def read_job_file(path: Path) -> dict[str, Any]:
    """The values of a YAML file by name, not yet checked: flags may be laid over them.

    Raises:
        RequestError: it cannot be read, or holds no mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise RequestError(str(path), [f"cannot be read: {error.strerror or error}"]) from error
    if len(content) > MOST_FILE_BYTES:
        raise RequestError(str(path), [f"larger than {MOST_FILE_BYTES} bytes; that is no file of job settings"])
    try:
        document = parse_strict_yaml(content)
    except YamlMistakeError as error:
        raise RequestError(str(path), [str(error)]) from error
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise RequestError(str(path), ["holds no settings by name, such as `instance: ml.g5.xlarge`"])
    return document


def _mistake(place: tuple[int | str, ...], message: str, kind: str) -> str:
    where = ".".join(str(part) for part in place) or "settings"
    if kind == "extra_forbidden":
        return f"{where}: no such setting; there are {', '.join(JobSettings.model_fields)}"
    if kind == "missing":
        return f"{where}: is missing"
    return f"{where}: {message.removeprefix('Value error, ')}"
