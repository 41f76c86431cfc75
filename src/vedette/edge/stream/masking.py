"""The mask over a camera's secrets, for every text that leaves a decoder: errors, tracebacks, lines of the log.

FFmpeg's errors repeat the URL that was opened. The password is found however it is written: as it is, percent-encoded
in part or as a whole (capital or small digits), or in the header of Basic authentication.
"""

import base64
import re
import traceback

from vedette.contracts.camera_url import MASK, hide_query_secrets
from vedette.edge.stream.camera_spec import CameraSpec
from vedette.edge.stream.errors import DecoderBug


def mask_secrets(text: str, spec: CameraSpec) -> str:
    """`text` without the camera's password, nor the user name where it stands before it in a URL."""
    if spec.shown != spec.url:
        text = hide_query_secrets(text.replace(spec.url, spec.shown))
    if not spec.password:
        return text
    secret = "".join(_written(sign) for sign in spec.password)
    if spec.username:
        user = "".join(_written(sign) for sign in spec.username)
        header = base64.b64encode(f"{spec.username}:{spec.password}".encode()).decode()
        text = re.sub(f"{user}:{secret}@", "", text).replace(header, MASK)
    return re.sub(secret, MASK, text)


def without_secrets(bug: BaseException, spec: CameraSpec) -> BaseException:
    """The same bug, or where its traceback would show a secret, a `DecoderBug` with the traceback masked."""
    told, masked = "".join(traceback.format_exception(bug)), masked_traceback(bug, spec)
    return bug if masked == told else DecoderBug(masked)


def masked_traceback(bug: BaseException, spec: CameraSpec) -> str:
    """What Python would print of it."""
    return mask_secrets("".join(traceback.format_exception(bug)), spec)


def _written(sign: str) -> str:
    """A pattern of every way to write one character in a URL."""
    encoded = "".join(f"%{byte:02X}" for byte in sign.encode(errors="surrogatepass"))
    return f"(?:{re.escape(sign)}|(?i:{encoded}){'|[+]' if sign == ' ' else ''})"
