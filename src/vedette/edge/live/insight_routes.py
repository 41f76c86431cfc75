"""Routes for what a run knows beyond its status: counts over time, heat maps, times of stages."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

InWorker = Callable[[Callable[[], Any]], Awaitable[Any]]
MOST_HOURS = 24 * 366


class Insight(Protocol):
    """Asked in a worker thread; None for a camera that there is not."""

    def timing(self) -> dict[str, Any]: ...

    def history(self, camera: str, hours: int) -> dict[str, Any] | None: ...

    def heat(self, camera: str, hours: int) -> dict[str, Any] | None: ...

    def figures(self) -> dict[str, Any]: ...


class InsightRoutes:
    """`insight` comes when the run begins."""

    def __init__(self, in_worker: InWorker) -> None:
        self.insight: Insight | None = None
        self._in_worker = in_worker

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/timing.json", self._timing),
            Route("/history/{camera:path}", self._history),
            Route("/heat/{camera:path}", self._heat),
        ]

    async def _timing(self, request: Request) -> Response:
        insight = self.insight
        return await self._answer(None if insight is None else insight.timing)

    async def _history(self, request: Request) -> Response:
        insight, camera, hours = self.insight, request.path_params["camera"], hours_of(request)
        return await self._answer(None if insight is None else lambda: insight.history(camera, hours))

    async def _heat(self, request: Request) -> Response:
        insight, camera, hours = self.insight, request.path_params["camera"], hours_of(request)
        return await self._answer(None if insight is None else lambda: insight.heat(camera, hours))

    async def _answer(self, ask: Callable[[], dict[str, Any] | None] | None) -> Response:
        if ask is None:  # a page that shows something else than a run: no error, and nothing to show
            return JSONResponse(None)
        document = await self._in_worker(ask)
        return PlainTextResponse("nothing is known of that", 404) if document is None else JSONResponse(document)


def hours_of(request: Request) -> int:
    """The hours asked for, 24 unless a number from 1 on is given."""
    text = request.query_params.get("hours", "")[:6]
    return min(max(int(text), 1), MOST_HOURS) if text.isascii() and text.isdigit() else 24
