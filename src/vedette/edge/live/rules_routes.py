"""Routes for lines and zones drawn on the page: what is drawn, what shall be, and the pipeline as a file.

What a drawing must be is for the `Desk` to say; here it is only JSON of a bounded size.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from vedette.edge.live.bodies import limited_body
from vedette.edge.live.errors import RulesError

MAX_DRAWING_BYTES = 256 * 1024
InWorker = Callable[[Callable[[], Any]], Awaitable[Any]]


class Desk(Protocol):
    """Where drawings are kept; called in a worker thread."""

    def rules(self, camera: str) -> dict[str, Any] | None:
        """What is drawn for a camera: `lines`, `zones`, `revision`, `saved_to`; None for no such camera."""
        ...

    def save(self, camera: str, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Check, save and put in force; raises RulesError with a sentence."""
        ...

    def as_file(self) -> str: ...


class RulesRoutes:
    """`desk` comes when the run begins; until then there is nothing to draw on."""

    def __init__(self, in_worker: InWorker) -> None:
        self.desk: Desk | None = None
        self._in_worker = in_worker

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/rules/{camera:path}", self._rules),
            Route("/rules/{camera:path}", self._save, methods=["PUT"]),
            Route("/pipeline.yaml", self._file),
        ]

    async def _rules(self, request: Request) -> Response:
        desk, camera = self.desk, request.path_params["camera"]
        if desk is None:  # a page of something else than a run: no error, and nothing to draw on
            return JSONResponse(None)
        found = await self._in_worker(lambda: desk.rules(camera))
        return PlainTextResponse("there is no such camera", 404) if found is None else JSONResponse(found)

    async def _save(self, request: Request) -> Response:
        desk, camera = self.desk, request.path_params["camera"]
        if desk is None:
            return PlainTextResponse("nothing is drawn on here", 404)
        try:
            drawn = json.loads(await limited_body(request, MAX_DRAWING_BYTES))
        except (ValueError, RecursionError):
            return PlainTextResponse("this is no drawing", 400)
        if not isinstance(drawn, dict):
            return PlainTextResponse("this is no drawing", 400)
        try:
            return JSONResponse(await self._in_worker(lambda: desk.save(camera, drawn)))
        except RulesError as error:
            return PlainTextResponse(str(error), 422)

    async def _file(self, request: Request) -> Response:
        desk = self.desk
        if desk is None:
            return PlainTextResponse("there is no pipeline", 404)
        text = await self._in_worker(desk.as_file)
        named = {"content-disposition": 'attachment; filename="pipeline.yaml"'}
        return PlainTextResponse(text, media_type="application/yaml; charset=utf-8", headers=named)
