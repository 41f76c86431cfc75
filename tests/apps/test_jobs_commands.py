"""`vedette jobs ...` as a person meets it: against moto where moto can, and a scripted service where it cannot."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import pytest
from cyclopts import App

from described_jobs import COMPLETED, DESCRIBED, RUN, archive, files_of
from simulators.s3_servers import BUCKET, SECRET_KEY, S3Server
from simulators.scripted_aws import Answer, ScriptedAws, refusal, scripted_aws
from vedette.apps.jobs import fetch, list_jobs, show, stop
from vedette.apps.object_storage import open_place
from vedette.contracts.errors import InputError, UnavailableError, UsageError, VedetteError
from vedette.learn.sagemaker.errors import (
    JobNotFoundError,
    NotPermittedError,
    QuotaError,
    RequestError,
    ServiceUnreachableError,
)
from vedette.learn.sagemaker.job import build_request
from vedette.learn.sagemaker.job_checks import check_request
from vedette.learn.sagemaker.job_service import open_service
from vedette.learn.sagemaker.job_settings import JobSettings, parse_job_settings


def run(command: str, *argv: str) -> int | None:
    app = App(name="jobs")
    for function, name in ((list_jobs, "list"), (show, "show"), (stop, "stop"), (fetch, "fetch")):
        app.command(function, name=name)
    result: int | None = app([command, *argv], exit_on_error=False, result_action="return_value")
    return result


def point_at(url: str, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = {"AWS_ENDPOINT_URL_SAGEMAKER": url, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": server.url}
    for name, value in {**server.environment(), **endpoints}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture(autouse=True, scope="module")
def models() -> Iterator[None]:
    """Botocore's service models, half a second each, are read once for all tests here."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.loaders.create_loader", lambda *_: loader)
        yield


@pytest.fixture(autouse=True)
def moto(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    point_at(moto_s3.url, moto_s3, monkeypatch)
    return moto_s3


def use(service: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)


def job_request(name: str) -> dict[str, Any]:
    settings = parse_job_settings(
        {
            "role": "arn:aws:iam::123456789012:role/vedette",
            "instance": "ml.g5.xlarge",
            "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/vedette:1",
            "output": f"s3://{BUCKET}/jobs",
            "channels": {"train": f"s3://{BUCKET}/data"},
        }
    )
    return build_request(settings, name)


def test_a_job_is_created_listed_shown_and_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = job_request("whole-way")
    check_request(request, "us-east-1")
    assert open_service().create(request).endswith(":training-job/whole-way")
    open_place(f"s3://{BUCKET}/jobs/whole-way/output").write("model.tar.gz", archive(RUN))

    run("list", "--name", "whole-way", "--json")
    listed = json.loads(capsys.readouterr().out)
    run("show", "whole-way", "--json")
    shown = json.loads(capsys.readouterr().out)
    run("fetch", "whole-way", "--out", str(tmp_path / "run"), "--json")
    fetched = json.loads(capsys.readouterr().out)

    assert [(one["name"], one["status"]) for one in listed] == [("whole-way", "Completed")]
    assert shown["artefact"] == f"s3://{BUCKET}/jobs/whole-way/output/model.tar.gz"
    assert (shown["instance"], shown["instances"], shown["spot"]) == ("ml.g5.xlarge", 1, False)
    assert files_of(tmp_path / "run") == RUN
    assert fetched["files"] == len(RUN)
    assert fetched["bundle"] == str(tmp_path / "run" / "bundle")


def test_the_guide_creates_a_job_from_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "sagemaker-jobs.md").read_text("utf-8")
    settings = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    script = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert (len(settings), len(script)) == (1, 1)
    (tmp_path / "job.yaml").write_text(settings[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    exec(compile(script[0], "sagemaker-jobs.md", "exec"), {})

    (job,) = open_service().list(100, name_contains="vedette-yolov3-tiny")
    assert job.status == "Completed"
    documented = set(re.findall(r"`([a-z_]+)`", guide))
    assert set(JobSettings.model_fields) - documented == set()


def test_the_service_gets_what_was_built(moto: S3Server) -> None:
    open_service().create(job_request("as-built"))

    client = boto3.client("sagemaker", endpoint_url=moto.url, region_name="us-east-1")
    try:
        kept = client.describe_training_job(TrainingJobName="as-built")
    finally:
        client.close()
    for name in ("RoleArn", "ResourceConfig", "StoppingCondition", "InputDataConfig"):
        assert kept[name] == job_request("as-built")[name]


def test_lists_go_on_over_pages(capsys: pytest.CaptureFixture[str]) -> None:
    service = open_service()
    for number in range(105):
        service.create(job_request(f"page-{number:03d}"))

    run("list", "--name", "page-", "--most", "103", "--json")

    names = [one["name"] for one in json.loads(capsys.readouterr().out)]
    assert len(set(names)) == len(names) == 103


def test_lists_are_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    open_service().create(job_request("for-people"))

    run("list", "--name", "for-people")
    table = capsys.readouterr().out
    run("list", "--status", "Failed", "--name", "for-people")

    assert "training jobs in us-east-1" in table
    assert re.search(r"for-people\s.*Completed\s", table)
    assert capsys.readouterr().out == "no such jobs in us-east-1\n"


def test_a_job_shows_its_states_savings_and_cost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_aws(DescribeTrainingJob=[(200, COMPLETED)]) as service:
        use(service, monkeypatch)
        run("show", "one")
        plain = capsys.readouterr().out
        run("show", "one", "--price-per-hour", "1.5")
        priced = capsys.readouterr().out

    assert "one: Completed (Completed), 2 x ml.g5.xlarge (spot)" in plain
    assert re.search(r"  2026-11-2\d \d\d:\d\d:\d\d  Starting: Preparing\n", plain)
    assert "best:map50 0.75" in plain
    assert "trained 7200 s, billed 1800 s, 75 % saved by spot machines" in plain
    assert "vedette jobs fetch one" in plain
    assert "cost" not in plain
    assert "cost:   1.50, at the price given" in priced  # 0.5 h of two machines at 1.5


def test_a_failed_job_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": "no\x1b[2J\x07 pictures"}
    failed = {**COMPLETED, **told}
    with scripted_aws(DescribeTrainingJob=[(200, failed)]) as service:
        use(service, monkeypatch)
        run("show", "one")
        with pytest.raises(InputError, match="one has failed and left no model: no pictures"):
            run("fetch", "one", "--out", str(tmp_path / "run"))

    assert "failed: no pictures" in capsys.readouterr().out
    assert [*tmp_path.iterdir()] == []


def test_a_running_job_is_asked_to_stop_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopping = {**DESCRIBED, "TrainingJobStatus": "Stopping", "SecondaryStatus": "Stopping"}
    with scripted_aws(DescribeTrainingJob=[(200, DESCRIBED), (200, stopping)], StopTrainingJob=[(200, {})]) as service:
        use(service, monkeypatch)
        run("stop", "one")
        first = capsys.readouterr().out
        run("stop", "one")
        second = capsys.readouterr().out

    assert ("StopTrainingJob", {"TrainingJobName": "one"}) in service.asked
    assert service.operations().count("StopTrainingJob") == 1
    assert "asked to stop" in first
    assert "vedette jobs fetch one" in first
    assert second == "one: nothing to do, it is Stopping\n"


def test_a_job_that_still_runs_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with scripted_aws(DescribeTrainingJob=[(200, DESCRIBED)]) as service:
        use(service, monkeypatch)
        with pytest.raises(InputError, match=r"one is InProgress \(Training\)"):
            run("fetch", "one", "--out", str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ModelArtifacts": {}}, "left no model"),
        ({"ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/jobs/one/output/model/"}}, "is no archive"),
        ({"ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/none/model.tar.gz"}}, "there is no such object"),
    ],
)
def test_a_job_without_an_archive_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with scripted_aws(DescribeTrainingJob=[(200, {**COMPLETED, **changes})]) as service:
        use(service, monkeypatch)
        with pytest.raises(VedetteError, match=told):
            run("fetch", "one", "--out", str(tmp_path / "run"))
    assert [*tmp_path.iterdir()] == []


def test_a_hostile_archive_leaves_nothing(tmp_path: Path) -> None:
    open_service().create(job_request("hostile"))
    open_place(f"s3://{BUCKET}/jobs/hostile/output").write("model.tar.gz", archive({**RUN, "../evil": b"evil"}))

    with pytest.raises(InputError, match="can be no name in a run"):
        run("fetch", "hostile", "--out", str(tmp_path / "place" / "run"))

    assert files_of(tmp_path) == {}


def test_a_run_without_a_bundle_says_how_to_pack_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_service().create(job_request("no-bundle"))
    contents = {name: content for name, content in RUN.items() if "/" not in name}
    open_place(f"s3://{BUCKET}/jobs/no-bundle/output").write("model.tar.gz", archive({**contents, ".half": b"1"}))

    run("fetch", "no-bundle", "--out", str(tmp_path / "run"))

    told = capsys.readouterr()
    assert f"vedette pack --run {tmp_path / 'run'} --out BUNDLE" in told.out
    assert "left out 1 hidden files of the archive: .half" in told.err
    assert files_of(tmp_path / "run") == contents


ME = "arn:aws:iam::123456789012:user/ada"


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (
            refusal("AccessDeniedException", f"User: {ME} is not authorized to perform: sagemaker:DescribeTrainingJob "
                    "on resource: arn:aws:sagemaker:x because no identity-based policy allows it"),
            NotPermittedError, f"{ME} has no permission sagemaker:DescribeTrainingJob for job 'one'",
        ),
        (
            refusal("AccessDeniedException", f"User: {ME} is not authorized to perform: iam:PassRole on resource: r"),
            NotPermittedError, "has no permission iam:PassRole",
        ),
        (refusal("AccessDeniedException", ""), NotPermittedError, "no permission sagemaker:DescribeTrainingJob"),
        (refusal("UnrecognizedClientException", "x"), NotPermittedError, "the access key is not known"),
        (refusal("ExpiredTokenException", "x"), NotPermittedError, "the session has expired"),
        (refusal("ValidationException", "Requested resource not found."), JobNotFoundError, "no job 'one' in this"),
        (refusal("ResourceNotFound", "x"), JobNotFoundError, "there is no job 'one'"),
        (refusal("ResourceInUse", "x"), RequestError, "already; give another --job-name"),
        (refusal("ResourceLimitExceeded", "0 Instances of\nml.g5.xlarge"), QuotaError, "0 Instances of ml.g5.xlarge"),
        (refusal("ValidationException", "1 validation\n error"), RequestError, "SageMaker refuses: 1 validation error"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, kind: type[VedetteError], told: str
) -> None:
    with scripted_aws(DescribeTrainingJob=[answer]) as service:
        use(service, monkeypatch)
        with pytest.raises(kind) as caught:
            run("show", "one")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_signature_does_not_show_the_session_token(monkeypatch: pytest.MonkeyPatch) -> None:
    quoted = f"The canonical string should have been 'POST x-amz-security-token:{SECRET_KEY}'"
    with scripted_aws(DescribeTrainingJob=[refusal("InvalidSignatureException", quoted)]) as service:
        use(service, monkeypatch)
        with pytest.raises(NotPermittedError, match="the secret key is wrong") as caught:
            run("show", "one")
    assert SECRET_KEY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_being_asked_to_wait_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = refusal("ThrottlingException", "Rate exceeded")
    with scripted_aws(DescribeTrainingJob=[wait, wait, (200, COMPLETED)]) as service:
        use(service, monkeypatch)
        run("show", "one")
    assert service.operations() == ["DescribeTrainingJob"] * 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refusal("ThrottlingException", "Rate exceeded"), "is asked too often"),
        (refusal("InternalFailure", "x", 500), "SageMaker fails at DescribeTrainingJob (500 InternalFailure: x)"),
    ],
)
def test_what_does_not_pass_by_is_told_after_six_attempts(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, told: str
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    with scripted_aws(DescribeTrainingJob=[answer]) as service:
        use(service, monkeypatch)
        with pytest.raises(ServiceUnreachableError) as caught:
            run("show", "one")
    assert told in str(caught.value)
    assert len(service.asked) == 6


def test_a_service_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{free_port}")
    with pytest.raises(UnavailableError, match="SageMaker cannot be reached"):
        run("list")


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NotPermittedError, match="no AWS credentials found; set AWS_ACCESS_KEY_ID"):
        run("list")


def test_half_of_the_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NotPermittedError, match="no AWS credentials found"):
        run("list")


def test_a_missing_region_is_told_and_each_way_to_give_it_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(NotPermittedError, match="no AWS region; set AWS_REGION, give --region"):
        run("list")

    run("list", "--region", "eu-west-1", "--name", "nothing")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    run("list", "--name", "nothing")

    assert capsys.readouterr().out == "no such jobs in eu-west-1\nno such jobs in eu-north-1\n"


def test_an_unknown_profile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(NotPermittedError, match="nobody"):
        run("list")


def test_a_region_or_endpoint_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"AWS_REGION.*region_name 'us_east'"):
        run("list", "--region", "us_east")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "foo")
    with pytest.raises(RequestError, match=r"AWS_ENDPOINT_URL.*Invalid endpoint: foo"):
        run("list")


def test_a_job_that_moto_does_not_know_is_told() -> None:
    with pytest.raises(JobNotFoundError, match="there is no job 'nobody' in this account and region"):
        run("show", "nobody")


def test_a_missing_boto3_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UnavailableError, match=r"pip install 'vedette\[learn\]'"):
        run("list")


@pytest.mark.parametrize(
    "argv",
    [
        ("list", "--most", "0"),
        ("show", "one", "--price-per-hour", "-1"),
        ("show", "one", "--price-per-hour", "nan"),
        ("fetch", "one", "--out", f"s3://{BUCKET}/run"),
    ],
)
def test_impossible_flags_are_wrong_usage(argv: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*argv)
