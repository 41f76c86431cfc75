"""From flags and a YAML file to a job's settings, and what must be in S3 before: planned first, sent when all is right.

What lies here (data, weights, a cfg, a recipe, the wheel) is sent into the bucket that the model comes to. Data go as a
version (`vedette data push`), single files below `uploads/` under their digest: nothing is sent twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.apps.job_flags import JobFlags
    from vedette.learn.data.versions_push import Pushed

SETTINGS = ("role", "instance", "instances", "spot", "max_run", "max_wait", "image", "output")  # flags of these names
DATA_CHANNEL, DATA_VERSION = "train", "data-version"
BLOCK_BYTES = 1 << 20
FILES: dict[str, Callable[[str], bool]] = {  # flags whose value may be a file, and when it is
    "model": lambda text: text.endswith(".cfg"),
    "recipe": lambda text: text not in {"vedette", "darknet"},
    "class-weights": lambda text: not (text == "balanced" or "=" in text or text.startswith("{")),
}
FILE_CHANNEL = {"model": "cfg"}  # where a file's channel is not named as its flag
_ACCOUNT = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/.+")


@dataclass(frozen=True, slots=True)
class FileUpload:
    """One file, and the S3 folder that it has for itself."""

    place: Path
    folder: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as it will be asked for. `values` are those of `job_settings`."""

    values: Mapping[str, Any]
    data: Path | None  # to push; None: in S3 already
    data_address: str
    files: tuple[FileUpload, ...]
    model: str | None  # family, or cfg here; None: a cfg in S3, or nothing was said

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The hyper-parameters."""
        found: Mapping[str, Any] = self.values["hyperparameters"]
        return found

    def file_of(self, channel: str) -> Path | None:
        """What a channel is filled with from here; None where it lies in S3, or there is none."""
        folder = self.values["channels"].get(channel)
        return next((one.place for one in self.files if one.folder == folder), None)

    def with_version(self, digest: str) -> Plan:
        """The same, training on the version that was pushed."""
        return replace(self, values={**self.values, "hyperparameters": {**self.parameters, DATA_VERSION: digest}})


def plan_job(
    flags: JobFlags, trained: Mapping[str, Any], region: str, simulated: Mapping[str, Any] | None = None
) -> Plan:
    """Lay flags over the file's values. `trained` are flags of `vedette train` by name, with data and weights.

    `simulated` are values that a simulator has in the place of the account's.

    Raises:
        RequestError: the file cannot be used.
        UsageError: something is missing, or cannot be sent.
    """
    from vedette.learn.sagemaker.job_settings import read_job_file

    values: dict[str, Any] = {} if flags.job is None else read_job_file(flags.job)
    given = {name: getattr(flags, name) for name in SETTINGS} | {"name": flags.job_name}
    values |= {name: value for name, value in given.items() if value is not None}
    if simulated is not None:
        values = {**_without_account(values), **simulated}
    channels, parameters = _mapping(values, "channels"), _mapping(values, "hyperparameters")
    for name in trained.keys() - {"data", "weights"}:
        parameters.pop(name.replace("-", "_"), None)
        parameters[name] = trained[name]
        channels.pop(FILE_CHANNEL.get(name, name), None)  # of the file: flags count before it
    values.setdefault("output", _usual_output(str(values.get("role", "")), region))
    bucket = _bucket(str(values["output"]))
    model = str(parameters["model"]) if "model" in parameters else None
    data = _plan_data(trained.get("data"), flags.upload, bucket, channels, parameters)
    files = [*_plan_files(trained.get("weights"), bucket, channels, parameters)]
    wheel = _wheel(flags.wheel or values.get("wheel"), bucket) if simulated is None else None
    if isinstance(wheel, FileUpload):
        files.append(wheel)
    values |= {} if wheel is None else {"wheel": wheel.folder if isinstance(wheel, FileUpload) else wheel}
    values |= {"channels": channels, "hyperparameters": parameters}
    if "image" not in values:
        raise UsageError(
            "--image is missing: your image in ECR (docs/how-to/sagemaker-container.md builds it), or one of AWS's for "
            "PyTorch together with --wheel dist/vedette-*.whl"
        )
    in_s3 = "cfg" in channels and not any(one.folder == channels["cfg"] for one in files)
    return Plan(values, data, str(channels.get(DATA_CHANNEL, "")), tuple(files), None if in_s3 else model)


def _without_account(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a rehearsal takes of a job's file; what lies in the account's S3 cannot be had in a simulator's.

    Raises:
        UsageError: channels are named, which only data, weights and a cfg of this computer can be there.
    """
    elsewhere = sorted(set(_mapping(values, "channels")) - {DATA_CHANNEL})
    if elsewhere:
        raise UsageError(
            f"a rehearsal has no channel '{elsewhere[0]}' from the job's file: give --weights, --model, --recipe or "
            "--class-weights"
        )
    return {name: value for name, value in values.items() if name not in {"channels", "checkpoints", "wheel"}}


def _mapping(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"{name}: give values by name, such as {{{DATA_CHANNEL}: s3://BUCKET/PREFIX}}")
    return {str(key): value for key, value in found.items()}


def _usual_output(role: str, region: str) -> str:
    """The bucket that SageMaker's own tools use; it lies in the account of the role."""
    found = _ACCOUNT.fullmatch(role)
    if found is None:
        raise UsageError(
            f"--role must be an ARN such as arn:aws:iam::123456789012:role/vedette-training, not '{role:.120}'"
            if role
            else "--role is missing: the ARN of the execution role (docs/how-to/sagemaker-permissions.md makes one)"
        )
    return f"s3://sagemaker-{region}-{found[1]}/jobs"


def _bucket(output: str) -> str:
    from vedette.storage.address import parse_address

    address = parse_address(output)
    if not address.is_s3:
        raise UsageError(f"--output {output}: give s3://BUCKET/PREFIX")
    return f"s3://{address.bucket}"


def _plan_data(
    data: Path | None, upload: str | None, bucket: str, channels: dict[str, Any], parameters: dict[str, Any]
) -> Path | None:
    """Where the pictures will be; the folder that must be pushed for it."""
    from vedette.apps.object_storage import part_reference
    from vedette.storage.address import is_s3_address, parse_address

    if data is None:
        if DATA_CHANNEL not in channels:
            raise UsageError(f"--data is missing: the labelled pictures, a folder or s3://BUCKET/PREFIX; or a channel "
                             f"'{DATA_CHANNEL}' in the job's file")  # fmt: skip
        return None
    if is_s3_address(data):
        address, tag = part_reference(str(data))
        channels[DATA_CHANNEL] = str(parse_address(address))
        parameters |= {DATA_VERSION: tag} if tag else {}
        return None
    if not data.is_dir():
        raise UsageError(f"--data {data}: is no folder; a job takes the whole folder of a data set")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", data.resolve().name).strip("-.") or "data"
    channels[DATA_CHANNEL] = upload or f"{bucket}/datasets/{name}"
    parameters[DATA_VERSION] = "0" * 64  # its digest is known when it is pushed
    return data


def _plan_files(
    weights: Path | None, bucket: str, channels: dict[str, Any], parameters: dict[str, Any]
) -> Iterator[FileUpload]:
    """Starting weights, and a cfg, recipe or class weights in a file, travel as channels.

    Raises:
        UsageError: the job's file has a channel for one of them already, or it cannot be read.
    """
    from vedette.storage.address import is_s3_address, parse_address

    found = {} if weights is None else {"weights": weights}
    for name, is_file in FILES.items():
        for key in {name, name.replace("-", "_")} & parameters.keys():
            if is_file(str(parameters[key])):
                channel = FILE_CHANNEL.get(name, name)
                if channel in channels:
                    raise UsageError(f"'{key}' is a hyper-parameter and '{channel}' a channel; leave one of them out")
                found[channel] = Path(str(parameters.pop(key)))
    for channel, path in found.items():
        if is_s3_address(path):
            channels[channel] = str(parse_address(path))
            continue
        upload = _file_upload(path, f"--{'model' if channel == 'cfg' else channel}", bucket)
        channels[channel] = upload.folder
        yield upload


def _wheel(wheel: Any, bucket: str) -> FileUpload | str | None:
    from vedette.storage.address import is_s3_address

    if wheel is None or is_s3_address(str(wheel)):
        return None if wheel is None else str(wheel)
    if not re.fullmatch(r"vedette-[^/]+\.whl", Path(str(wheel)).name):
        raise UsageError(f"--wheel {wheel}: give a file vedette-*.whl (`make dist` builds it), or its folder in S3")
    return _file_upload(Path(str(wheel)), "--wheel", bucket)


def _file_upload(path: Path, flag: str, bucket: str) -> FileUpload:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise UsageError(f"{flag} {path}: cannot be read: {error.strerror or error}") from error
    return FileUpload(path, f"{bucket}{_folder_name(digest.hexdigest())}")


def send(plan: Plan, progress: Any) -> Pushed | None:
    """Send what is not there yet; what was pushed.

    Raises:
        VedetteError: it cannot be read or sent; the same call goes on.
    """
    from vedette.apps.object_storage import digest_memory, open_place
    from vedette.learn.data.versions import DEFAULT_TAG
    from vedette.learn.data.versions_push import push_version

    for upload in plan.files:
        store, size = open_place(upload.folder), upload.place.stat().st_size
        found = store.stat(upload.place.name)
        if found is not None and found.size_bytes == size:
            continue
        progress.start(f"sending {upload.place.name}", size, "bytes")
        store.upload(upload.place.name, _blocks(upload, progress))
    if plan.data is None:
        return None
    return push_version(plan.data, open_place(plan.data_address), DEFAULT_TAG, progress, digest_memory(plan.data))


def _blocks(upload: FileUpload, progress: Any) -> Iterator[bytes]:
    """A file's bytes; an error at their end, which undoes the upload, when they are not those that name its folder."""
    digest = hashlib.sha256()
    with upload.place.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            yield block
            progress.advance(len(block))
    if not upload.folder.endswith(_folder_name(digest.hexdigest())):
        raise InputError(f"{upload.place} changed while it was sent; give the command again when nobody writes to it")


def _folder_name(sha256: str) -> str:
    return f"/uploads/{sha256[:32]}"
