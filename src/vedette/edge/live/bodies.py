"""The body of a request, up to a size."""

from starlette.requests import Request


async def limited_body(request: Request, most_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        ValueError: it is longer than that.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise ValueError(f"longer than {most_bytes} bytes")
    return body
