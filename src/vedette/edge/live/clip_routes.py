"""Clips over HTTP, with ranges, so that a browser can jump in them. Access is the guard's matter."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from vedette.edge.live.clip_shelf import ClipShelf


def clip_routes(shelf: ClipShelf) -> Sequence[BaseRoute]:
    """Routes for `LivePage(routes=...)`."""

    async def clip(request: Request) -> Response:
        path = shelf.find(request.path_params["name"])
        if path is None:
            return PlainTextResponse("no such clip: it was removed to make room, or is not begun yet", 404)
        return FileResponse(path, media_type="video/mp4")

    return [Route("/clips/{name:path}", clip)]
