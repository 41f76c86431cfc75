"""The flags of `vedette train` that say where else to train, and on what; kept apart for their number."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


@dataclass(frozen=True)
class JobFlags:
    """Flags as given; None where they were not."""

    job: Annotated[Path | None, Parameter(help="YAML file with settings of the job; flags count before it.")] = None
    role: Annotated[str | None, Parameter(help="ARN of the role that the job acts in.")] = None
    instance: Annotated[str | None, Parameter(help="Machine, such as ml.g5.xlarge.")] = None
    instances: Annotated[int | None, Parameter(help="How many machines. Default: 1.")] = None
    spot: Annotated[
        bool | None, Parameter(negative="--no-spot", help="Spot machines: cheaper, may be interrupted; goes on then.")
    ] = None
    max_run: Annotated[str | None, Parameter(help="Longest training: 90m, 4h, 2d. Default: 1d.")] = None
    max_wait: Annotated[
        str | None, Parameter(help="With --spot: longest wait for machines and training, together.")
    ] = None
    image: Annotated[
        str | None, Parameter(help="Image in ECR: yours (deploy/sagemaker), or one of AWS's for PyTorch with --wheel.")
    ] = None
    wheel: Annotated[
        str | None, Parameter(help="For an image without Vedette: its wheel, a file here or an s3:// folder.")
    ] = None
    output: Annotated[
        str | None, Parameter(help="s3://BUCKET/PREFIX for models. Default: s3://sagemaker-REGION-ACCOUNT/jobs.")
    ] = None
    upload: Annotated[
        str | None,
        Parameter(help="s3://BUCKET/PREFIX to push --data to. Default: datasets/NAME in the output's bucket."),
    ] = None
    job_name: Annotated[str | None, Parameter(help="Of the job. Default: made from model and time.")] = None
    region: Annotated[
        str | None, Parameter(help="AWS region. Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's.")
    ] = None
    wait: Annotated[
        bool, Parameter(negative="--detach", help="Follow the job to its end, or leave as soon as it is created.")
    ] = True
    price_per_hour: Annotated[
        float | None, Parameter(help="What one machine costs in an hour; the cost is shown only with it.")
    ] = None
