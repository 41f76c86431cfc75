"""The body of a request, up to a size."""

from starlette.requests import ClientDisconnect, Request


async def limited_body(request: Request, most_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        ValueError: it is longer than that, or who sent it has gone before its end.
    """
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise ValueError(f"longer than {most_bytes} bytes")
    except ClientDisconnect as error:
        raise ValueError("cut short") from error
    return body
