"""An AWS service on 127.0.0.1 that answers each operation as told, one answer after the other; keeps what was asked.

For what moto cannot do: stop a job, fail, refuse, ask to wait. It checks no signature.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]


@dataclass
class ScriptedAws:
    """What it says, by operation; the last answer is given again and again."""

    port: int
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]


def refusal(code: str, message: str, status: int = 400) -> Answer:
    """An error as SageMaker writes it."""
    return status, {"__type": code, "message": message}


@contextmanager
def scripted_aws(**answers: list[Answer]) -> Iterator[ScriptedAws]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            state.asked.append((operation, content))
            script = state.answers.get(operation) or [refusal("UnknownOperationException", "not in the script")]
            status, document = script.pop(0) if len(script) > 1 else script[0]
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = ScriptedAws(server.server_address[1], {name: [*script] for name, script in answers.items()})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
