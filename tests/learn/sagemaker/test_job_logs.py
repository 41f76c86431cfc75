"""A job's log in CloudWatch's shape, on moto's server: each line once, whatever comes between."""

from collections.abc import Iterator
from typing import Any

import boto3
import botocore.loaders
import pytest
from botocore.stub import Stubber

from simulators.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server
from simulators.scripted_aws import refusal, scripted_aws
from vedette.learn.sagemaker import job_logs
from vedette.learn.sagemaker.errors import NotPermittedError
from vedette.learn.sagemaker.job_logs import GROUP, JobLogs


@pytest.fixture(autouse=True, scope="module")
def models() -> Iterator[None]:
    """Botocore's service models are read once for all tests here."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.loaders.create_loader", lambda *_: loader)
        yield


def client_of(url: str) -> Any:
    return boto3.client(
        "logs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


@pytest.fixture
def client(moto_s3: S3Server) -> Iterator[Any]:
    client = client_of(moto_s3.url)
    yield client
    client.close()


def put(client: Any, stream: str, *lines: tuple[int, str]) -> None:
    for make, arguments in (
        (client.create_log_group, {"logGroupName": GROUP}),
        (client.create_log_stream, {"logGroupName": GROUP, "logStreamName": stream}),
    ):
        try:
            make(**arguments)
        except client.exceptions.ResourceAlreadyExistsException:
            continue
    start = 1_795_375_800_000
    events = [{"timestamp": start + at_ms, "message": text} for at_ms, text in lines]
    client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def texts(lines: list[job_logs.LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_a_job_that_has_printed_nothing_has_no_lines(client: Any) -> None:
    assert JobLogs(client, "silent").new_lines() == []
    assert JobLogs(client, "silent").last_lines(20) == []
    put(client, "loud/algo-1-1", (0, "hello"))
    assert JobLogs(client, "silent").new_lines() == []
    assert JobLogs(client, "lou").new_lines() == []  # no job of a longer name


def test_each_line_comes_once(client: Any) -> None:
    logs = JobLogs(client, "once")
    put(client, "once/algo-1-1", (0, "one"), (1, "two"))
    first = logs.new_lines()
    again = logs.new_lines()
    put(client, "once/algo-1-1", (2, "three"))
    third = logs.new_lines()

    assert (texts(first), texts(again), texts(third)) == (["one", "two"], [], ["three"])


def test_lines_of_several_hosts_and_starts_are_in_the_order_of_time(client: Any) -> None:
    put(client, "several/algo-1-100", (0, "a"), (2, "c"))
    put(client, "several/algo-2-100", (1, "b"), (3, "d"))
    put(client, "several/algo-1-200", (10, "again"))

    lines = JobLogs(client, "several").new_lines()

    assert [(line.host, line.text) for line in lines] == [
        ("algo-1", "a"), ("algo-2", "b"), ("algo-1", "c"), ("algo-2", "d"), ("algo-1", "again"),
    ]  # fmt: skip


def test_a_long_log_is_read_over_pages(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_logs, "PAGE", 7)
    put(client, "long/algo-1-1", *((number, f"line {number}") for number in range(30)))

    assert texts(JobLogs(client, "long").new_lines()) == [f"line {number}" for number in range(30)]


def test_the_last_lines_are_those_of_the_first_host(client: Any) -> None:
    put(client, "ends/algo-1-1", *((number, f"line {number}") for number in range(30)))
    put(client, "ends/algo-2-1", (40, "waiting for algo-1"))

    assert texts(JobLogs(client, "ends").last_lines(3)) == ["line 27", "line 28", "line 29"]


def test_a_log_cannot_write_to_the_terminal(client: Any) -> None:
    put(client, "hostile/algo-1-1", (0, "\x1b[2J\x1b]0;evil\x07red\x9b31m\r\nnext" + "x" * 5000))

    first, second = texts(JobLogs(client, "hostile").new_lines())

    assert first == "]0;evilred31m"
    assert len(second) == job_logs.MOST_LINE


def test_what_was_read_before_a_failure_is_not_lost() -> None:
    """The second stream's answer fails; the first one's lines come with the next call. By botocore's Stubber."""
    client = client_of("http://127.0.0.1:9")
    streams = {"logStreams": [{"logStreamName": "cut/algo-1-1"}, {"logStreamName": "cut/algo-2-1"}]}
    asked = {"logGroupName": GROUP, "limit": job_logs.PAGE, "startFromHead": True}
    one, two = {**asked, "logStreamName": "cut/algo-1-1"}, {**asked, "logStreamName": "cut/algo-2-1"}
    described = {"logGroupName": GROUP, "logStreamNamePrefix": "cut/"}
    with Stubber(client) as stub:
        stub.add_response("describe_log_streams", streams, described)
        stub.add_response("get_log_events", page("f/1", "from one"), one)
        stub.add_response("get_log_events", page("f/1"), {**one, "nextToken": "f/1"})
        stub.add_client_error("get_log_events", "AccessDeniedException", expected_params=two)
        stub.add_response("describe_log_streams", streams, described)
        stub.add_response("get_log_events", page("f/1"), {**one, "nextToken": "f/1"})
        stub.add_response("get_log_events", page("f/2", "from two"), two)
        stub.add_response("get_log_events", page("f/2"), {**two, "nextToken": "f/2"})
        logs = JobLogs(client, "cut")
        with pytest.raises(NotPermittedError, match=r"no permission logs:GetLogEvents for job 'cut'; add it to their"):
            logs.new_lines()
        assert texts(logs.new_lines()) == ["from one", "from two"]
        stub.assert_no_pending_responses()
    client.close()


def test_an_empty_answer_is_not_the_end_of_the_log() -> None:
    """CloudWatch may answer nothing though there is more; only the same token again is the end. By the Stubber."""
    client = client_of("http://127.0.0.1:9")
    asked = {"logGroupName": GROUP, "limit": job_logs.PAGE, "startFromHead": True, "logStreamName": "gap/algo-1-1"}
    with Stubber(client) as stub:
        stub.add_response(
            "describe_log_streams", {"logStreams": [{"logStreamName": "gap/algo-1-1"}]},
            {"logGroupName": GROUP, "logStreamNamePrefix": "gap/"},
        )  # fmt: skip
        stub.add_response("get_log_events", page("f/1"), asked)
        stub.add_response("get_log_events", page("f/2", "after the gap"), {**asked, "nextToken": "f/1"})
        stub.add_response("get_log_events", page("f/2"), {**asked, "nextToken": "f/2"})
        assert texts(JobLogs(client, "gap").new_lines()) == ["after the gap"]
        stub.assert_no_pending_responses()
    client.close()


def page(token: str, *messages: str) -> dict[str, Any]:
    events = [{"timestamp": number, "message": text} for number, text in enumerate(messages)]
    return {"events": events, "nextForwardToken": token}


def test_a_group_that_is_not_there_has_no_lines() -> None:
    absent = refusal("ResourceNotFoundException", "The specified log group does not exist.")
    with scripted_aws(DescribeLogStreams=[absent]) as service:
        client = client_of(service.url)
        assert JobLogs(client, "any").new_lines() == []
        client.close()
