"""The request that creates a job: from flags or YAML, in botocore's shape; all mistakes told at once."""

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.stub import Stubber
from botocore.validate import ParamValidator

from vedette.contracts.errors import UsageError
from vedette.learn.sagemaker.errors import RequestError
from vedette.learn.sagemaker.job import build_request, make_job_name
from vedette.learn.sagemaker.job_checks import check_request
from vedette.learn.sagemaker.job_service import JobService
from vedette.learn.sagemaker.job_settings import JobSettings, parse_job_settings, read_job_file
from vedette.learn.sagemaker.metrics import METRIC_DEFINITIONS

SETTINGS: dict[str, Any] = {
    "role": "arn:aws:iam::123456789012:role/vedette-training",
    "instance": "ml.g5.xlarge",
    "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/vedette:1.0",
    "output": "s3://factory/jobs",
    "channels": {"train": "s3://factory/datasets/parts"},
    "hyperparameters": {"model": "yolov3-tiny", "epochs": 100},
}
AWS_IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/pytorch-training:2.8.0-gpu-py312"
EVERYTHING: dict[str, Any] = {
    **SETTINGS,
    "spot": True,
    "max_run": "4h",
    "max_wait": "8h",
    "max_pending": "1d",
    "retries": 3,
    "volume_gb": 200,
    "channels": {"train": "s3://factory/parts/", "weights": "s3://factory/start", "cfg": "s3://factory/nets"},
    "hyperparameters": {"epochs": 100},
    "mode": "FastFile",
    "checkpoints": "s3://factory/checkpoints/one",
    "environment": {"OMP_NUM_THREADS": 4},
    "tags": {"cost-centre": 4711},
    "isolated": True,
    "encrypted_traffic": True,
    "subnets": ["subnet-1", "subnet-2"],
    "security_groups": ["sg-1"],
    "output_key": "alias/models",
    "volume_key": "alias/disks",
}


def request_of(**changes: Any) -> dict[str, Any]:
    return build_request(parse_job_settings({**SETTINGS, **changes}), "job-1")


def refused(request: dict[str, Any], region: str | None = None) -> str:
    with pytest.raises(RequestError) as caught:
        check_request(request, region)
    return str(caught.value)


@pytest.mark.parametrize(
    "settings", [SETTINGS, EVERYTHING, {**SETTINGS, "instances": 2}], ids=["least", "everything", "two machines"]
)
def test_botocore_takes_the_request(settings: dict[str, Any]) -> None:
    request = build_request(parse_job_settings(settings), "job-1")

    check_request(request, "eu-central-1")

    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    report = ParamValidator().validate(request, model.operation_model("CreateTrainingJob").input_shape)
    assert report.generate_report() == ""


def test_the_classic_fields_are_always_sent() -> None:
    request = request_of()

    assert {
        "TrainingJobName", "AlgorithmSpecification", "RoleArn", "OutputDataConfig", "ResourceConfig",
        "StoppingCondition",
    } <= set(request)  # fmt: skip
    assert request["HyperParameters"] == {"model": "yolov3-tiny", "epochs": "100"}
    assert request["ResourceConfig"] == {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert request["CheckpointConfig"] == {
        "S3Uri": "s3://factory/jobs/job-1/checkpoints",
        "LocalPath": "/opt/ml/checkpoints",
    }
    assert request["InputDataConfig"][0]["DataSource"]["S3DataSource"] == {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://factory/datasets/parts/",
        "S3DataDistributionType": "FullyReplicated",
    }
    metrics = request["AlgorithmSpecification"]["MetricDefinitions"]
    assert [(one["Name"], one["Regex"]) for one in metrics] == [(one.name, one.regex) for one in METRIC_DEFINITIONS]


def test_everything_that_was_asked_for_is_in_the_request() -> None:
    request = build_request(parse_job_settings(EVERYTHING), "job-1")

    assert request["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 4 * 3600,
        "MaxWaitTimeInSeconds": 8 * 3600,
        "MaxPendingTimeInSeconds": 86400,
    }
    assert request["ResourceConfig"]["VolumeKmsKeyId"] == "alias/disks"
    assert request["OutputDataConfig"] == {"S3OutputPath": "s3://factory/jobs", "KmsKeyId": "alias/models"}
    assert request["EnableManagedSpotTraining"] is True
    assert request["EnableNetworkIsolation"] is True
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert request["CheckpointConfig"]["S3Uri"] == "s3://factory/checkpoints/one"
    assert request["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert request["Environment"] == {"OMP_NUM_THREADS": "4"}
    assert {"Key": "cost-centre", "Value": "4711"} in request["Tags"]
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    assert request["AlgorithmSpecification"]["TrainingInputMode"] == "FastFile"


def test_our_image_is_started_by_its_own_program() -> None:
    algorithm = request_of()["AlgorithmSpecification"]

    assert "ContainerEntrypoint" not in algorithm
    assert "ContainerArguments" not in algorithm


@pytest.mark.parametrize("isolated", [False, True])
def test_an_image_of_aws_gets_our_wheel_in_a_channel_and_an_entrypoint(isolated: bool) -> None:
    request = request_of(image=AWS_IMAGE, wheel="s3://factory/wheels/1.0", isolated=isolated, mode="FastFile")

    check_request(request)

    code = request["InputDataConfig"][-1]
    assert (code["ChannelName"], code["InputMode"]) == ("code", "File")
    assert code["DataSource"]["S3DataSource"]["S3Uri"] == "s3://factory/wheels/1.0/"
    shell, flag, script = request["AlgorithmSpecification"]["ContainerEntrypoint"]
    assert (shell, flag) == ("/bin/sh", "-c")
    assert "/opt/ml/input/data/code/vedette-*.whl" in script
    assert script.endswith("&& exec python3 -m vedette.learn.sagemaker.container train")
    assert ("--no-index --find-links /opt/ml/input/data/code" in script) is isolated


@pytest.mark.parametrize(
    "changes", [{}, {"image": AWS_IMAGE, "wheel": "s3://factory/wheels/1.0"}], ids=["our-image", "image-of-aws"]
)
def test_the_service_is_asked_for_what_was_built(changes: dict[str, Any]) -> None:
    """By botocore's Stubber, which holds request and answer against its model of the service."""
    request = request_of(**changes)
    arn = "arn:aws:sagemaker:eu-central-1:123456789012:training-job/job-1"
    client = boto3.client("sagemaker", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_response("create_training_job", {"TrainingJobArn": arn}, request)
        stub.add_response("stop_training_job", {}, {"TrainingJobName": "job-1"})
        service = JobService(client)
        assert service.create(request) == arn
        service.stop("job-1")
        stub.assert_no_pending_responses()
    client.close()


def test_the_entrypoint_installs_the_wheel_and_becomes_the_program(tmp_path: Path) -> None:
    """By a real shell, with a python3 that tells what it was started with, and its process."""
    code, programs = tmp_path / "code", tmp_path / "bin"
    code.mkdir()
    programs.mkdir()
    (code / "vedette-1.0-py3-none-any.whl").touch()
    (programs / "python3").write_text('#!/bin/sh\necho "$$ $*"\n')
    (programs / "python3").chmod(0o755)
    request = request_of(image=AWS_IMAGE, wheel="s3://factory/wheels")
    shell, flag, script = request["AlgorithmSpecification"]["ContainerEntrypoint"]

    script = script.replace("/opt/ml/input/data/code", str(code))
    with subprocess.Popen([shell, flag, script], env={"PATH": str(programs)}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        install, start = process.stdout.read().decode().splitlines()

    assert process.returncode == 0
    assert install.endswith(f" -m pip install --quiet {code}/vedette-1.0-py3-none-any.whl[container]")
    assert start == f"{process.pid} -m vedette.learn.sagemaker.container train"  # so SIGTERM reaches it


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"role": "arn:aws:iam::12:role/vedette"}, "has not the form arn:aws"),
        ({"role": "vedette"}, "RoleArn"),
        ({"role": "arn:aws:iam::123456789012:role/a b"}, "has not the form arn:aws"),
        ({"instance": "ml.g5.tiny"}, "ResourceConfig.InstanceType: 'ml.g5.tiny' is none of ml.g5.xlarge"),
        ({"instance": "g5.xlarge"}, "'g5.xlarge' is none of ml.g5.xlarge, ..."),
        ({"instances": 0}, "InstanceCount is 0, but at least 1"),
        ({"volume_gb": 0}, "VolumeSizeInGB is 0"),
        ({"image": "vedette:1.0"}, "is none in Amazon ECR"),
        ({"spot": True}, "spot training needs a max wait"),
        ({"max_wait": "4h"}, "max wait is for spot training only"),
        ({"spot": True, "max_run": "4h", "max_wait": "3h"}, "max wait (10800 s) is less than max run (14400 s)"),
        ({"spot": True, "max_wait": "2d", "keep_alive": "1h"}, "keep alive is not to be had with spot"),
        ({"max_run": "29d"}, "at most 28 days"),
        ({"keep_alive": "7h"}, "KeepAlivePeriodInSeconds: 25200; at most 21600"),
        ({"retries": 31}, "MaximumRetryAttempts: 31; at most 30"),
        ({"max_pending": "10m"}, "valid min value: 1800"),
        ({"mode": "Pipe"}, "comes in Pipe mode"),
        ({"channels": {}}, "InputDataConfig"),
        ({"channels": {"weights": "s3://factory/w"}}, "one channel with the labelled pictures is needed"),
        ({"channels": {"train": "s3://factory/a", "val": "s3://factory/b"}}, "channel 'val' is unknown"),
        ({"channels": {"train": "s3://factory/a", "cfg": "s3://factory/b"}}, "'model' is a hyper-parameter and 'cfg'"),
        ({"channels": {"train": "/data"}}, "has not the form (https|s3)"),
        ({"channels": {"train": "https://factory/a"}}, "channel 'train': https://"),
        ({"output": "s3://factory/../etc"}, "output: s3://factory/../etc"),
        ({"channels": {"tr ain": "s3://factory/a"}}, "has not the form [A-Za-z0-9"),
        ({"hyperparameters": {"epoch": 3}}, "'epoch' is none of"),
        ({"hyperparameters": {"epochs": "many"}}, "not a whole number"),
        ({"hyperparameters": {f"h{n}": 1 for n in range(101)}}, "HyperParameters: 101 entries; at most 100"),
        ({"hyperparameters": {"model": "m" * 257}}, "longer than 256 characters"),
        ({"tags": {f"t{n}": 1 for n in range(50)}}, "Tags: 51 entries; at most 50"),
        ({"tags": {"aws:mine": "x"}}, "kept for AWS"),
        ({"tags": {"a*b": "x"}}, "Tags[1].Key: 'a*b' has not the form"),
        ({"environment": {"9LIVES": "x"}}, "has not the form [a-zA-Z_]"),
        ({"subnets": ["subnet-1"]}, "SecurityGroupIds"),
    ],
)  # fmt: skip
def test_what_sagemaker_would_refuse_is_refused_before(changes: dict[str, Any], told: str) -> None:
    assert told in refused(request_of(**changes))


@pytest.mark.parametrize("name", ["", "a" * 64, "-job", "job-", "jo_b", "jöb"])
def test_names_that_sagemaker_does_not_take_are_refused(name: str) -> None:
    assert "TrainingJobName" in refused(build_request(parse_job_settings(SETTINGS), name))


def test_an_image_of_another_region_is_refused() -> None:
    assert "lies in eu-central-1 and the job would run in us-east-1" in refused(request_of(), "us-east-1")


def test_a_field_that_botocore_does_not_know_is_refused() -> None:
    assert "Unknown parameter in input" in refused({**request_of(), "Colour": "blue"})


def test_several_mistakes_are_told_together() -> None:
    told = refused(request_of(spot=True, volume_gb=0, mode="Pipe"))

    assert told.count("\n  ") == 3
    assert "max wait" in told
    assert "VolumeSizeInGB" in told
    assert "Pipe" in told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_run": "soon"}, "max_run: no time; write for example 90m"),
        ({"max_run": 0}, "max_run: "),
        ({"instances": "two"}, "instances: "),
        ({"instances": True}, "instances: "),
        ({"colour": "blue"}, "colour: no such setting; there are role, instance"),
        ({"mode": "Stream"}, "mode: "),
        ({"hyperparameters": {"patience": True}}, "hyperparameters.patience: is read as yes, no or nothing"),
        ({"tags": {"a": None}}, "tags.a: is read as yes, no or nothing"),
        ({"channels": "s3://factory/a"}, "channels: "),
    ],
)
def test_settings_of_the_wrong_kind_are_told_with_their_place(given: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=r"^job: ") as caught:
        parse_job_settings({**SETTINGS, **given})
    assert told in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(RequestError) as caught:
        parse_job_settings({}, "job.yaml")
    assert caught.value.mistakes == tuple(
        f"{name}: is missing" for name in ("role", "instance", "image", "output", "channels")
    )


def test_a_yaml_file_says_the_same_as_flags(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "role: arn:aws:iam::123456789012:role/vedette-training\n"
        "instance: ml.g5.xlarge\n"
        "image: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/vedette:1.0\n"
        "output: s3://factory/jobs\n"
        "channels: {train: s3://factory/datasets/parts}\n"
        "hyperparameters: {model: yolov3-tiny, epochs: 100}\n"
        "subnets: [subnet-1]\n"
        "security_groups: [sg-1]\n"
        "max_run: 90m\n"
    )

    settings = parse_job_settings(read_job_file(path), str(path))

    flags = {**SETTINGS, "subnets": ["subnet-1"], "security_groups": ["sg-1"], "max_run": 5400}
    assert settings == parse_job_settings(flags)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"role: a\nrole: b\n", "line 2, column 1: 'role' is given twice"),
        (b"tags:\n  a: 1\n  a: 2\n", "line 3, column 3: 'a' is given twice"),
        (b"role: [\n", "line 2, column 1: is no YAML"),
        (b"- role\n", "holds no settings by name"),
        (b"1: role\n", "holds no settings by name"),
        (b"", "holds no settings by name"),
        (b"role: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        (b"a: &a [1]\nb: *a\n", "holds an alias"),
        (b"\xff\xfe\x00", "line 1: is no UTF-8 text"),
        (b"[" * 100_000, "nested too deep"),
        (b"a: " + b"b" * 300_000, "larger than"),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(content)

    with pytest.raises(RequestError) as caught:
        parse_job_settings(read_job_file(path))

    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"job.yaml: cannot be read: No such file"):
        read_job_file(tmp_path / "job.yaml")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("yolov3-tiny", "vedette-yolov3-tiny-20261122-193005"),
        ("../my net.cfg", "vedette-my-net-cfg-20261122-193005"),
        ("", "vedette-20261122-193005"),
        ("x" * 256, f"vedette-{'x' * 30}-20261122-193005"),
    ],
)
def test_a_job_without_a_name_gets_one_that_sagemaker_takes(model: str, name: str) -> None:
    settings = parse_job_settings({**SETTINGS, "hyperparameters": {"model": model} if model else {}})

    made = make_job_name(settings, datetime(2026, 11, 22, 19, 30, 5))

    assert made == name
    check_request(build_request(settings, made))


def test_a_name_that_was_given_stays() -> None:
    assert make_job_name(parse_job_settings({**SETTINGS, "name": "mine"}), datetime(2026, 1, 1)) == "mine"


def test_settings_cannot_be_changed() -> None:
    settings: JobSettings = parse_job_settings(SETTINGS)

    with pytest.raises(ValueError, match="frozen"):
        settings.role = "other"  # type: ignore[misc]
