"""SageMaker's HTTP on loopback: JSON 1.1 with `X-Amz-Target: SageMaker.OPERATION`, as boto3 and the AWS tools speak it.

Jobs are processes, so the caller must name this simulator's own access key (signatures are not computed) and a loopback
host: a page in a browser can do neither. What is no operation on training jobs is refused.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from vedette.learn.sagemaker.simulator.service import Refusal, TrainingJobs

HOST = "127.0.0.1"
MOST_BODY_BYTES = 1 << 20
IDLE_S = 30.0
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]+)?")
_TARGET = "SageMaker."

Operation = Callable[[Mapping[str, Any]], dict[str, Any]]


@contextmanager
def serve_front(jobs: TrainingJobs, access_key: str) -> Iterator[str]:
    """The address of the service, while it is answered."""
    operations: dict[str, Operation] = {
        "CreateTrainingJob": jobs.create,
        "DescribeTrainingJob": jobs.describe,
        "ListTrainingJobs": jobs.list_jobs,
        "StopTrainingJob": jobs.stop,
    }
    handler = type("Handler", (_Handler,), {"operations": operations, "access_key": access_key})
    server = ThreadingHTTPServer((HOST, 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="sagemaker-front", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    operations: Mapping[str, Operation]
    access_key: str

    def do_POST(self) -> None:
        """One operation."""
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
        if _LOOPBACK.fullmatch(self.headers.get("Host", "")) is None:
            raise Refusal("AccessDeniedException", "this simulator answers to 127.0.0.1 and localhost only")
        if f"Credential={self.access_key}/" not in self.headers.get("Authorization", ""):
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        target = self.headers.get("X-Amz-Target", "")
        operation = self.operations.get(target.removeprefix(_TARGET)) if target.startswith(_TARGET) else None
        if operation is None:
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
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def _error(code: str, message: str) -> dict[str, str]:
    return {"__type": code, "message": message}
