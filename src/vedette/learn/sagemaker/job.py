"""The request that creates a training job, from settings; pure. SageMaker's CreateTrainingJob, boto3's shape.

Every classic field is always sent (AlgorithmSpecification, ResourceConfig and StoppingCondition were required until
2025). Two ways to the image: ours, whose program is `train`; or one of AWS's PyTorch images, with our wheel in channel
`code` and a ContainerEntrypoint that installs and starts it. `job_checks` says whether AWS would take the request.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vedette.learn.sagemaker.container.channels import CODE_CHANNEL
from vedette.learn.sagemaker.job_settings import JobSettings
from vedette.learn.sagemaker.metrics import METRIC_DEFINITIONS
from vedette.version import __version__

CHECKPOINTS_PATH = "/opt/ml/checkpoints"
_CODE = f"/opt/ml/input/data/{CODE_CHANNEL}"
# `exec`, so that SIGTERM reaches the program and not the shell. Torch is in the image: the extra is `container`.
_START = "exec python3 -m vedette.learn.sagemaker.container train"


def make_job_name(settings: JobSettings, now: datetime) -> str:
    """The name asked for, or one from model and time: `vedette-yolov3-tiny-20261122-193000`."""
    if settings.name is not None:
        return settings.name
    model = re.sub(r"[^A-Za-z0-9]+", "-", settings.hyperparameters.get("model", "")).strip("-")[:30].strip("-")
    return "-".join(part for part in ("vedette", model, f"{now:%Y%m%d-%H%M%S}") if part)


def build_request(settings: JobSettings, name: str) -> dict[str, Any]:
    """The parameters of `create_training_job`; what is not asked for and has no default of ours is left out."""
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": settings.role,
        "AlgorithmSpecification": _algorithm(settings),
        "HyperParameters": dict(settings.hyperparameters),
        "InputDataConfig": _channels(settings),
        "OutputDataConfig": _given({"S3OutputPath": settings.output, "KmsKeyId": settings.output_key}),
        "ResourceConfig": _given(
            {
                "InstanceType": settings.instance,
                "InstanceCount": settings.instances,
                "VolumeSizeInGB": settings.volume_gb,
                "VolumeKmsKeyId": settings.volume_key,
                "KeepAlivePeriodInSeconds": settings.keep_alive,
            }
        ),
        "StoppingCondition": _given(
            {
                "MaxRuntimeInSeconds": settings.max_run,
                "MaxWaitTimeInSeconds": settings.max_wait,
                "MaxPendingTimeInSeconds": settings.max_pending,
            }
        ),
        "CheckpointConfig": {
            "S3Uri": settings.checkpoints or f"{settings.output.rstrip('/')}/{name}/checkpoints",
            "LocalPath": CHECKPOINTS_PATH,
        },
        "EnableManagedSpotTraining": settings.spot,
        "EnableNetworkIsolation": settings.isolated,
        "EnableInterContainerTrafficEncryption": settings.encrypted_traffic,
        "Tags": _tags(settings.tags),
    }
    if settings.environment:
        request["Environment"] = dict(settings.environment)
    if settings.subnets or settings.security_groups:
        request["VpcConfig"] = {"Subnets": [*settings.subnets], "SecurityGroupIds": [*settings.security_groups]}
    if settings.retries is not None:
        request["RetryStrategy"] = {"MaximumRetryAttempts": settings.retries}
    return request


def _algorithm(settings: JobSettings) -> dict[str, Any]:
    algorithm: dict[str, Any] = {
        "TrainingImage": settings.image,
        "TrainingInputMode": settings.mode,
        "MetricDefinitions": [{"Name": one.name, "Regex": one.regex} for one in METRIC_DEFINITIONS],
        "EnableSageMakerMetricsTimeSeries": True,
    }
    if settings.wheel is not None:
        # without a network, everything that the wheel needs must lie beside it
        offline = f" --no-index --find-links {_CODE}" if settings.isolated else ""
        install = f'set -- {_CODE}/vedette-*.whl; python3 -m pip install --quiet{offline} "$1[container]"'
        algorithm["ContainerEntrypoint"] = ["/bin/sh", "-c", f"{install} && {_START}"]
    return algorithm


def _channels(settings: JobSettings) -> list[dict[str, Any]]:
    channels = [_channel(name, address) for name, address in settings.channels.items()]
    if settings.wheel is not None:
        channels.append({**_channel(CODE_CHANNEL, settings.wheel), "InputMode": "File"})
    return channels


def _channel(name: str, address: str) -> dict[str, Any]:
    """All of a folder, to every host: labels and pictures must stay together."""
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": f"{address.rstrip('/')}/",  # without the sign, `parts` takes `parts-old` in as well
                "S3DataDistributionType": "FullyReplicated",
            }
        },
        "CompressionType": "None",
        "RecordWrapperType": "None",
    }


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    ours = {"vedette:version": __version__}
    return [{"Key": key, "Value": value} for key, value in {**ours, **tags}.items()]


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
