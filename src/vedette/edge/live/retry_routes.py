"""A route that lets a viewer have a camera that is away opened again at once: `POST /retry/CAMERA`."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from vedette.contracts.errors import VedetteError

TryNow = Callable[[str], bool]


def retry_routes(try_now: TryNow) -> list[BaseRoute]:
    """`try_now` takes a camera's name; false where there is none; VedetteError where its password cannot be read."""

    async def retry(request: Request) -> Response:
        try:
            known = await run_in_threadpool(try_now, request.path_params["camera"])
        except VedetteError as error:
            return PlainTextResponse(str(error), 422)
        return Response(status_code=204) if known else PlainTextResponse("there is no such camera", 404)

    return [Route("/retry/{camera:path}", retry, methods=["POST"])]
