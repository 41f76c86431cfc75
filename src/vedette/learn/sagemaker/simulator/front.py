"""The simulator's one HTTP address on loopback: training jobs are answered here, everything else is handed on to moto.

SageMaker's operations come as JSON 1.1 with `X-Amz-Target: SageMaker.OPERATION`. Jobs are processes, so their caller
must name this simulator's own access key (signatures are not computed) and a loopback host: a page in a browser can do
neither. SageMaker's other operations are refused. What is S3's is told by the scope of its signature.
"""

import json
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from vedette.learn.sagemaker.simulator.passing_on import Server, pass_on
from vedette.learn.sagemaker.simulator.service import Refusal, TrainingJobs

HOST = "127.0.0.1"
MOST_BODY_BYTES = 1 << 20
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
IDLE_S = 60.0  # longer than clients keep a connection that they do not use
_LOOPBACK = re.compile(r"(127\.0\.0\.1|([A-Za-z0-9.-]+\.)?localhost)(:[0-9]+)?")  # BUCKET.localhost too
_SCOPE = re.compile(r"Credential=[^/,\s]+/[0-9]{8}/[^/]*/([a-z0-9-]+)/aws4_request")
_SCOPE_IN_ADDRESS = re.compile(r"X-Amz-Credential=[^&]+?(?:%2F|/)([a-z0-9-]+)(?:%2F|/)aws4_request", re.IGNORECASE)
_TARGET = "SageMaker."

Operation = Callable[[Mapping[str, Any]], dict[str, Any]]


@contextmanager
def serve_front(jobs: TrainingJobs, access_key: str, moto: str, s3: str) -> Iterator[str]:
    """The address of all services, while they are answered; S3 may be another server's than moto's.

    Raises:
        SimulatorError: the addresses are none of http://HOST:PORT.
    """
    operations: dict[str, Operation] = {
        "CreateTrainingJob": jobs.create,
        "DescribeTrainingJob": jobs.describe,
        "ListTrainingJobs": jobs.list_jobs,
        "StopTrainingJob": jobs.stop,
    }
    everything = Server.at("moto, which has S3, logs and the rest,", moto)
    shared = {
        **{f"do_{method}": _Handler.answer for method in METHODS},
        "operations": operations,
        "access_key": access_key,
        "moto": everything,
        "s3": everything if s3 == moto else Server.at("the S3 server", s3),
    }
    server = _Server((HOST, 0), type("Handler", (_Handler,), shared))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="aws-front", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # clients open tens of connections at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is its caller's matter."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True  # heads and bodies are sent one after the other
    operations: Mapping[str, Operation]
    access_key: str
    moto: Server
    s3: Server

    def answer(self) -> None:
        """Any request."""
        if _LOOPBACK.fullmatch(self.headers.get("Host", "")) is None:
            self.close_connection = True  # its body stays unread
            told = "this simulator answers to 127.0.0.1 and localhost only"
            self._answer(400, _error("AccessDeniedException", told))
        elif self.headers.get("X-Amz-Target", "").startswith(_TARGET) or self._service() == "sagemaker":
            self._train()
        else:
            pass_on(self, self.s3 if self._is_for_s3() else self.moto)

    def _service(self) -> str | None:
        """Whom the request was signed for; None when it is not, or as S3 took it before version 4."""
        found = _SCOPE.search(self.headers.get("Authorization", "")) or _SCOPE_IN_ADDRESS.search(self.path)
        return None if found is None else found[1].lower()

    def _is_for_s3(self) -> bool:
        service = self._service()
        if service is None:  # whoever may read without a signature; other services' unsigned requests are posted
            return self.command != "POST" or "?" in self.path
        return service == "s3"

    def _train(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MOST_BODY_BYTES:
            self.close_connection = True
            self._answer(413, _error("RequestTooLarge", f"Content-Length must be at most {MOST_BODY_BYTES}"))
            return
        body = self.rfile.read(length)
        try:
            self._answer(200, self._done(body))
        except Refusal as refusal:
            self._answer(400, _error(refusal.code, str(refusal)))

    def _done(self, body: bytes) -> dict[str, Any]:
        if f"Credential={self.access_key}/" not in self.headers.get("Authorization", ""):
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        target = self.headers.get("X-Amz-Target", "")
        operation = self.operations.get(target.removeprefix(_TARGET)) if target.startswith(_TARGET) else None
        if operation is None or self.command != "POST":
            known = ", ".join(self.operations)
            raise Refusal("UnknownOperationException", f"the simulator answers {known}; not '{target[:100]}'")
        try:
            request = json.loads(body or b"{}")
        except (ValueError, RecursionError) as error:
            raise Refusal("SerializationException", f"no JSON: {error}") from error
        if not isinstance(request, dict):
            raise Refusal("SerializationException", "no JSON object")
        return operation(request)

    def _answer(self, status: int, document: Mapping[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def _error(code: str, message: str) -> dict[str, str]:
    return {"__type": code, "message": message}
