"""Whether SageMaker would take a request, before anything is created; no network.

Held against botocore's own service model: its ParamValidator for names, kinds, what is required and least values; the
greatest values, patterns and enumerations, which it passes over, here. Then what the model does not say: rules of spot
training, of FastFile, names, addresses and quotas of the developer guide. Everything found is reported together.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from vedette.contracts.errors import VedetteError
from vedette.learn.sagemaker.container.channels import (
    CFG_CHANNEL,
    CLASS_WEIGHTS_CHANNEL,
    CODE_CHANNEL,
    DATA_CHANNELS,
    FILE_CHANNELS,
    RECIPE_CHANNEL,
)
from vedette.learn.sagemaker.container.hyperparameters import parse_hyperparameters
from vedette.learn.sagemaker.errors import RequestError
from vedette.storage.address import parse_address

OPERATION = "CreateTrainingJob"
MOST_RUN_S, MOST_PARAMETER = 28 * 86400, 256
OTHER_CHANNELS = (*FILE_CHANNELS, CODE_CHANNEL)
_IMAGE = re.compile(
    r"[0-9]{12}\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def check_request(request: Mapping[str, Any], region: str | None = None) -> None:
    """Refuse what SageMaker would refuse, or what could not work there.

    Raises:
        RequestError: lists everything that is wrong.
    """
    mistakes = [*model_mistakes(request)]
    if not mistakes:  # the rules may count on kinds being right
        mistakes = [*_rule_mistakes(request, region)]
    if mistakes:
        raise RequestError("the job was not created", mistakes)


def model_mistakes(request: Mapping[str, Any]) -> Iterator[str]:
    """What contradicts the service model of the installed botocore."""
    from botocore.validate import ParamValidator

    shape = _request_shape()
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        yield from (line for line in report.generate_report().splitlines() if line)
    else:
        yield from _shape_mistakes(shape, request, "")


@lru_cache(maxsize=1)  # half a second to read
def _request_shape() -> Any:
    """The model of the request, from botocore's own files."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    service = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    return service.operation_model(OPERATION).input_shape


def _shape_mistakes(shape: Any, value: Any, where: str) -> Iterator[str]:
    """Greatest sizes, patterns and enumerations, all the way down."""
    most = shape.metadata.get("max")
    if most is not None and not isinstance(value, bool):
        size = len(value) if isinstance(value, str | list | dict) else value
        if size > most:
            what = {"string": " characters", "list": " entries", "map": " entries"}.get(shape.type_name, "")
            yield f"{where}: {size}{what}; at most {most} are taken"
            return
    if shape.type_name == "structure":
        for name, one in value.items():
            yield from _shape_mistakes(shape.members[name], one, f"{where}.{name}" if where else name)
    elif shape.type_name == "list":
        for number, one in enumerate(value):
            yield from _shape_mistakes(shape.member, one, f"{where}[{number}]")
    elif shape.type_name == "map":
        for key, one in value.items():
            yield from _shape_mistakes(shape.key, key, f"{where} (the name '{key:.60}')")
            yield from _shape_mistakes(shape.value, one, f"{where}.{key:.60}")
    elif shape.type_name == "string":
        yield from _text_mistakes(shape, value, where)


def _text_mistakes(shape: Any, value: str, where: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        family = value.rpartition(".")[0]
        same = [one for one in shape.enum if family and one.rpartition(".")[0] == family]
        near = same or [one for one in shape.enum if value and value in one][:8] or shape.enum[:8]
        yield f"{where}: '{value:.60}' is none of {', '.join(near)}{'' if near == shape.enum else ', ...'}"
    pattern = shape.metadata.get("pattern")
    if pattern and re.fullmatch(_python_pattern(pattern), value) is None:
        yield f"{where}: '{value:.120}' has not the form {pattern}"


def _python_pattern(pattern: str) -> str:
    """A pattern of the model, whose classes of signs are Java's."""
    for java, python in ((r"\p{L}\p{Z}\p{N}", r"\w\s"), (r"\p{Alnum}", "A-Za-z0-9")):
        pattern = pattern.replace(java, python)
    return pattern


def _rule_mistakes(request: Mapping[str, Any], region: str | None) -> Iterator[str]:
    yield from _image_mistakes(request["AlgorithmSpecification"].get("TrainingImage", ""), region)
    yield from _channel_mistakes(request)
    yield from _time_mistakes(request)
    yield from _parameter_mistakes(request["HyperParameters"])
    for name, address in (
        ("output", request["OutputDataConfig"]["S3OutputPath"]),
        ("checkpoints", request["CheckpointConfig"]["S3Uri"]),
    ):
        yield from _address_mistakes(name, address)
    resources = request["ResourceConfig"]
    for name, least in (("InstanceCount", 1), ("VolumeSizeInGB", 1)):
        if resources[name] < least:
            yield f"{name} is {resources[name]}, but at least {least} is needed"
    for tag in request["Tags"]:
        if tag["Key"].lower().startswith("aws:"):
            yield f"tag '{tag['Key']:.60}': names that begin with aws: are kept for AWS"


def _image_mistakes(image: str, region: str | None) -> Iterator[str]:
    found = _IMAGE.fullmatch(image)
    if found is None:
        yield (
            f"image '{image:.120}' is none in Amazon ECR, such as "
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/vedette:1.0"
        )
    elif region is not None and found["region"] != region:
        yield f"the image lies in {found['region']} and the job would run in {region}; both must be the same"


def _channel_mistakes(request: Mapping[str, Any]) -> Iterator[str]:
    channels = request["InputDataConfig"]
    names = [channel["ChannelName"] for channel in channels]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"channel '{name}' is given twice"
    for name in names:
        if name not in (*DATA_CHANNELS, *OTHER_CHANNELS):
            yield f"channel '{name}' is unknown; there are train, {', '.join(FILE_CHANNELS)}"
    if sum(name in DATA_CHANNELS for name in names) != 1:
        yield f"one channel with the labelled pictures is needed, called train; given: {', '.join(names) or 'none'}"
    for name in (RECIPE_CHANNEL, CLASS_WEIGHTS_CHANNEL):
        if name in names and {name, name.replace("-", "_")} & {*request["HyperParameters"]}:
            yield f"'{name}' is a hyper-parameter and a channel; leave one of them out"
    if CFG_CHANNEL in names and "model" in request["HyperParameters"]:
        yield f"'model' is a hyper-parameter and '{CFG_CHANNEL}' a channel; leave one of them out"
    for channel in channels:
        name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource", {})
        yield from _address_mistakes(f"channel '{name}'", source.get("S3Uri", ""))
        mode = channel.get("InputMode") or request["AlgorithmSpecification"]["TrainingInputMode"]
        if mode == "Pipe":
            yield (
                f"channel '{name}' comes in Pipe mode, which gives every byte once and in one order, but training "
                "shows each picture many times in random order; use File or FastFile"
            )
        if mode == "FastFile" and (source.get("S3DataType") != "S3Prefix" or not source["S3Uri"].endswith("/")):
            yield f"channel '{name}' comes in FastFile mode, which needs an S3 prefix that ends in '/'"


def _time_mistakes(request: Mapping[str, Any]) -> Iterator[str]:
    stopping, spot = request["StoppingCondition"], request["EnableManagedSpotTraining"]
    run_s, wait_s = stopping["MaxRuntimeInSeconds"], stopping.get("MaxWaitTimeInSeconds")
    if run_s > MOST_RUN_S:
        yield f"max run is {run_s} s, but a job runs for at most 28 days"
    if spot and wait_s is None:
        yield "spot training needs a max wait: how long to wait for machines and train, together"
    if not spot and wait_s is not None:
        yield "max wait is for spot training only; leave it out, or ask for spot"
    if wait_s is not None and wait_s < run_s:
        yield f"max wait ({wait_s} s) is less than max run ({run_s} s), which it includes"
    if spot and "KeepAlivePeriodInSeconds" in request["ResourceConfig"]:
        yield "keep alive is not to be had with spot machines; leave one of them out"


def _parameter_mistakes(parameters: Mapping[str, str]) -> Iterator[str]:
    """Quotas, and what the program in the container would refuse after minutes of waiting for a machine."""
    for name, value in parameters.items():
        if max(len(name), len(value)) > MOST_PARAMETER:
            yield f"hyper-parameter '{name:.60}' or its value is longer than {MOST_PARAMETER} characters"
            return
    try:
        parse_hyperparameters(parameters)
    except VedetteError as error:
        yield str(error)


def _address_mistakes(name: str, address: str) -> Iterator[str]:
    try:
        if not parse_address(address).is_s3:
            yield f"{name}: '{address:.120}' is no address in S3; give s3://BUCKET/PREFIX"
    except VedetteError as error:
        yield f"{name}: {error}"
