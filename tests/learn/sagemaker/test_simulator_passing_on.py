"""One address for all of AWS's services: what is not SageMaker's goes through the simulator's front as it came.

Real clients (boto3, obstore) against real servers; rclone's checks signatures, so headers and Host must arrive as they
were signed. What no client does at will is written on the wire by hand, against a server that keeps what it hears.
"""

import http.client
import io
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import Any

import boto3
import numpy as np
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from simulators.s3_servers import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from vedette.learn.sagemaker.aws_client import translated
from vedette.learn.sagemaker.errors import ServiceUnreachableError, SimulatorError
from vedette.learn.sagemaker.simulator.front import serve_front
from vedette.learn.sagemaker.simulator.service import TrainingJobs
from vedette.storage.errors import AccessDeniedError, UnreachableError
from vedette.storage.store import open_store

PART_BYTES = 5 << 20
SCOPE = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
LARGE = np.random.default_rng(7).bytes(2 * PART_BYTES + 12_345)


@contextmanager
def front_before(moto: str, s3: str) -> Iterator[str]:
    with serve_front(TrainingJobs("us-east-1", lambda _: None, lambda _: None), ACCESS_KEY, moto, s3) as address:
        yield address


@pytest.fixture(params=["rclone", "moto"])
def place(request: pytest.FixtureRequest, rclone_s3: S3Server, moto_s3: S3Server) -> Iterator[tuple[str, str]]:
    """The front's address with either S3 server behind it, and its name for a prefix of one's own."""
    s3 = rclone_s3 if request.param == "rclone" else moto_s3
    with front_before(moto_s3.url, s3.url) as address:
        yield address, f"through-front-{request.param}"


def client(service: str, address: str, secret: str = SECRET_KEY, **config: Any) -> Any:
    chosen = Config(retries={"total_max_attempts": 1}, proxies={}, **config)
    return boto3.session.Session(ACCESS_KEY, secret, None, "us-east-1").client(
        service, endpoint_url=address, config=chosen
    )


def test_boto3_writes_lists_and_reads_through_the_front(place: tuple[str, str]) -> None:
    address, prefix = place
    # rclone's answer to a range carries the checksum of the whole
    s3 = client("s3", address, response_checksum_validation="when_required", signature_version="s3v4")
    key = f"{prefix}/Teil ä+1 &%.jpg"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"0123456789", Metadata={"Line": "seven"})
    told = s3.head_object(Bucket=BUCKET, Key=key)
    assert (told["ContentLength"], [*told["Metadata"].values()]) == (10, ["seven"])
    assert s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=3-6")["Body"].read() == b"3456"
    s3.upload_fileobj(
        io.BytesIO(LARGE), BUCKET, f"{prefix}/large",
        Config=TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES),
    )  # fmt: skip
    assert s3.get_object(Bucket=BUCKET, Key=f"{prefix}/large")["Body"].read() == LARGE
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key})) as answer:
        assert answer.read() == b"0123456789"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [one["Key"] for page in pages for one in page["Contents"]]
    assert sorted(keys) == sorted([key, f"{prefix}/large"])
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": one} for one in keys]})
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=BUCKET, Key=key)  # an error without a body; the connection stays usable
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)


def test_obstore_writes_lists_and_reads_through_the_front(place: tuple[str, str], moto_s3: S3Server) -> None:
    address, prefix = place
    store = open_store(f"s3://{BUCKET}/{prefix}-obstore", replace(moto_s3.settings(), endpoint_url=address))
    store.write("small", b"0123456789")
    store.upload("large", (LARGE[first : first + 100_000] for first in range(0, len(LARGE), 100_000)))
    assert store.read("large", len(LARGE)) == LARGE
    assert b"".join(store.blocks("large", len(LARGE), 1000)) == LARGE[1000:]
    assert {(one.name, one.size_bytes) for one in store.list()} == {("small", 10), ("large", len(LARGE))}
    store.delete(["small", "large"])
    assert store.stat("small") is None


def test_the_server_behind_checks_the_signature_that_the_caller_made(rclone_s3: S3Server, moto_s3: S3Server) -> None:
    with front_before(moto_s3.url, rclone_s3.url) as address:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            client("s3", address, "another").list_objects_v2(Bucket=BUCKET)
        with pytest.raises(AccessDeniedError, match="the secret key is wrong"):
            [*open_store(f"s3://{BUCKET}", rclone_s3.settings(secret="another", port=port_of(address))).list()]


def test_logs_and_identities_are_had_at_the_same_address(moto_s3: S3Server) -> None:
    with front_before(moto_s3.url, moto_s3.url) as address:
        assert client("sts", address).get_caller_identity()["Account"] == "123456789012"
        logs = client("logs", address)
        logs.create_log_group(logGroupName="through-front")
        groups = logs.describe_log_groups(logGroupNamePrefix="through-")["logGroups"]
        assert [one["logGroupName"] for one in groups] == ["through-front"]
        assert client("sagemaker", address).list_training_jobs()["TrainingJobSummaries"] == []
        with pytest.raises(ClientError, match="UnknownOperation"):
            client("sagemaker", address).list_models()  # moto would answer; nothing of SageMaker's is handed on


def test_buckets_in_the_name_of_the_host_are_found(moto_s3: S3Server) -> None:
    with front_before(moto_s3.url, moto_s3.url) as address:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(address), timeout=60)
        for method, body in (("PUT", b"by host"), ("GET", None)):
            headers = {"Host": f"{BUCKET}.localhost:{port_of(address)}", "Authorization": SCOPE}
            connection.request(method, "/through-front-host", body, headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"" if method == "PUT" else b"by host")
        connection.request("GET", f"/{BUCKET}", headers={"Host": "rebound.example.org"})
        assert connection.getresponse().status == 400
        connection.close()


def test_bodies_in_chunks_arrive(moto_s3: S3Server) -> None:
    signed = (
        b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"  # aws-chunked, within HTTP's own
    )
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": "11",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
    }
    with front_before(moto_s3.url, moto_s3.url) as address:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(address), timeout=60)
        for more, blocks, expected in (({}, [b"hel", b"lo"], b"hello"), (headers, [signed], b"hello world")):
            asked = {**more, "Authorization": SCOPE}
            connection.request("PUT", f"/{BUCKET}/chunks", iter(blocks), asked, encode_chunked=True)
            assert connection.getresponse().read() == b""
            connection.request("GET", f"/{BUCKET}/chunks", headers={"Authorization": SCOPE})
            assert connection.getresponse().read() == expected
        connection.close()


@pytest.mark.parametrize("service", ["s3", "logs", "sts"])
def test_that_moto_is_gone_is_said(service: str, free_port: int) -> None:
    gone = f"http://127.0.0.1:{free_port}"
    with front_before(gone, gone) as address:
        asked = {
            "s3": lambda one: one.put_object(Bucket=BUCKET, Key="x", Body=b"x" * 100_000),
            "logs": lambda one: one.describe_log_groups(),
            "sts": lambda one: one.get_caller_identity(),
        }
        with pytest.raises(ClientError, match=r"ServiceUnavailable.*moto, which has S3, .*refused.*start it again"):
            asked[service](client(service, address))
        assert client("sagemaker", address).list_training_jobs()["TrainingJobSummaries"] == []
        if service == "s3":
            settings = S3Server(port_of(address)).settings(max_retries=0)
            with pytest.raises(UnreachableError, match="503 ServiceUnavailable"):
                open_store(f"s3://{BUCKET}", settings).write("x", b"x")


def test_vedettes_own_commands_say_that_moto_is_gone(free_port: int) -> None:
    gone = f"http://127.0.0.1:{free_port}"
    with (
        front_before(gone, gone) as address,
        pytest.raises(ServiceUnreachableError, match=r"CloudWatch fails .*moto, .* does not answer .*start it again"),
        translated("CloudWatch", "DescribeLogStreams", "belt-1"),
    ):
        client("logs", address).describe_log_groups()


def test_another_kind_of_address_is_refused() -> None:
    for address in ("https://s3.example.org", "http://127.0.0.1:9000/below", "Amazon"):
        with pytest.raises(SimulatorError, match="http://HOST:PORT only"), front_before("http://127.0.0.1:1", address):
            pass


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


class Listener:
    """A server for one connection: hears as much as it is told to, answers what it is told to, and closes."""

    def __init__(self, hears_all: Callable[[bytes], bool], answer: bytes) -> None:
        self._hears_all, self._answer = hears_all, answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heard = b""
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            while not self._hears_all(self.heard) and (block := connection.recv(65536)):
                self.heard += block
            connection.sendall(self._answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # an answer must not be lost to what lies unread
                pass

    def close(self) -> None:
        self._thread.join(60)
        self._socket.close()


def spoken(listener: Listener, request: bytes) -> tuple[bytes, bool]:
    """What the front answers to bytes on the wire, and whether it can be asked again on the same connection."""
    with (
        front_before(listener.address, listener.address) as address,
        socket.create_connection(("127.0.0.1", port_of(address)), 60) as caller,
    ):
        caller.sendall(request)
        answer = http.client.HTTPResponse(caller, method=request.split()[0].decode())
        answer.begin()
        content = answer.read()
        assert answer.headers["Server"] == "listener"
        listener.close()
        caller.sendall(b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
        return content, caller.recv(12) == b"HTTP/1.1 400"


END = b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
HEAD = b"PUT //bucket//a%2Fb?x=%C3%A4&y HTTP/1.1\r\nHost: localhost:1\r\nX-CaSe: \xe4 ,  two\r\nX-Case: three\r\n"


def test_what_is_handed_on_is_what_came_to_the_last_byte() -> None:
    chunks = b"4;chunk-signature=ab\r\nbody\r\n" + END
    listener = Listener(lambda heard: heard.endswith(END), b"HTTP/1.1 200 Fine\r\nServer: listener\r\n\r\nto the end")
    told = spoken(listener, HEAD + b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + chunks)
    assert told == (b"to the end", True)  # parted into chunks, so that the connection can stay
    assert listener.heard == HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks


def test_an_answer_before_the_end_of_the_body_comes_and_the_rest_is_dropped() -> None:
    answer = b"HTTP/1.1 403 No\r\nServer: listener\r\nContent-Length: 2\r\n\r\nno"
    listener = Listener(lambda heard: len(heard) > 1000, answer)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE
    assert spoken(listener, request) == (b"no", True)


def test_who_asks_first_whether_to_send_is_told_to() -> None:
    listener = Listener(
        lambda heard: heard.endswith(b"body"), b"HTTP/1.1 204 Fine\r\nServer: listener\r\nETag: 7\r\n\r\n"
    )
    with (
        front_before(listener.address, listener.address) as address,
        socket.create_connection(("127.0.0.1", port_of(address)), 60) as caller,
    ):
        caller.sendall(HEAD + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert caller.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(b"body")
        assert caller.recv(1000) == b"HTTP/1.1 204 Fine\r\nServer: listener\r\nETag: 7\r\n\r\n"
    listener.close()


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 Fine\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345",
    ],
)
def test_an_answer_that_breaks_off_is_not_taken_for_whole(begun: bytes) -> None:
    listener = Listener(lambda heard: heard.endswith(b"\r\n\r\n"), begun)
    with front_before(listener.address, listener.address) as address:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(address), timeout=60)
        connection.request("GET", f"/{BUCKET}/x")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            connection.getresponse().read()
        connection.close()
    listener.close()


@pytest.mark.parametrize("more", [b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"Content-Length: -3\r\n"])
def test_a_body_whose_end_is_unclear_is_refused(more: bytes, free_port: int) -> None:
    with (
        front_before(f"http://127.0.0.1:{free_port}", f"http://127.0.0.1:{free_port}") as address,
        socket.create_connection(("127.0.0.1", port_of(address)), 60) as caller,
    ):
        caller.sendall(HEAD + more + b"\r\n")
        assert caller.recv(1000).startswith(b"HTTP/1.1 400 ")
