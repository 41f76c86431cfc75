"""FFmpeg's errors -> one sentence that says what is wrong with which camera and what to do about it.

The sentence never holds a password; the FFmpeg error itself may (it repeats the URL), so callers raise `from None`.
"""

import errno
import socket
from pathlib import Path
from urllib.parse import urlsplit

from av import error as av_error

from vedette.edge.stream.camera_spec import CameraSpec, SourceKind
from vedette.edge.stream.errors import CameraInputError, CameraRefusedError, CameraUnavailableError
from vedette.edge.stream.masking import mask_secrets


def check_file(spec: CameraSpec) -> None:
    """Refuse what can be seen to be no video file without opening it.

    Raises:
        CameraInputError: no such file, a folder, empty, unreadable.
    """
    path = Path(spec.url)
    try:
        if path.is_dir():
            raise CameraInputError(f"camera '{spec.name}': {spec.shown} is a folder; name one video file in it")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise CameraInputError(f"camera '{spec.name}': no such file: {spec.shown}; check the path") from None
    except OSError as error:
        raise CameraInputError(
            f"camera '{spec.name}': {spec.shown} cannot be read ({error.strerror}); check its permissions and disk"
        ) from error
    if empty:
        raise CameraInputError(f"camera '{spec.name}': {spec.shown} is empty (0 bytes); copy or record it again")


def explain_opening(
    error: av_error.FFmpegError, spec: CameraSpec, timed_out_after_s: float | None
) -> CameraInputError | CameraUnavailableError:
    """Why a camera could not be opened; `timed_out_after_s` is given when the time to answer was used up."""
    start = f"camera '{spec.name}': {spec.shown}"
    if spec.kind is SourceKind.FILE:
        return CameraInputError(
            f"{start} is no video that can be read, or it is damaged or cut short ({_reason(error, spec)}); "
            "play it in another program, or copy it again"
        )
    if spec.kind is SourceKind.USB:
        return _explain_usb(error, spec)
    if timed_out_after_s is not None:
        return CameraUnavailableError(
            f"{start} did not answer within {timed_out_after_s:g} s; check that the camera is on and reachable, "
            "and its address"
        )
    return _explain_network(error, spec)


def explain_reading(error: av_error.FFmpegError, spec: CameraSpec, read_timeout_s: float) -> CameraUnavailableError:
    """Why a camera that was running stopped."""
    if isinstance(error, av_error.ExitError | av_error.TimeoutError):
        return explain_silence(spec, read_timeout_s)
    return CameraUnavailableError(
        f"camera '{spec.name}': {spec.shown} broke off ({_reason(error, spec)}); check the camera and its connection"
    )


def explain_silence(spec: CameraSpec, silent_s: float) -> CameraUnavailableError:
    """A camera that holds its connection and gives nothing."""
    return CameraUnavailableError(
        f"camera '{spec.name}': {spec.shown} sent nothing for {silent_s:g} s; check the camera and its network"
    )


def _explain_network(error: av_error.FFmpegError, spec: CameraSpec) -> CameraInputError | CameraUnavailableError:
    start = f"camera '{spec.name}': {spec.shown}"
    if isinstance(error, av_error.HTTPUnauthorizedError | av_error.HTTPForbiddenError):
        hint = "check them" if spec.username else "give 'username' and 'password_file' or 'password_env'"
        # Who shows no password cannot be locked out for it
        kind = CameraInputError if spec.username is None and spec.shown == spec.url else CameraRefusedError
        return kind(f"{start} refuses the user name and password; {hint}")
    if isinstance(error, av_error.HTTPNotFoundError):
        return CameraInputError(f"{start}: the camera has nothing under this path (404); check the path of the URL")
    if isinstance(error, av_error.ConnectionRefusedError):
        return CameraUnavailableError(f"{start} refuses the connection; check the port and that the camera is on")
    if error.errno == errno.EIO and not _host_is_known(spec.url):
        return CameraUnavailableError(f"{start}: nobody knows this host; check its name and the network")
    if isinstance(error, av_error.InvalidDataError | av_error.EOFError) or error.errno == errno.EIO:
        return CameraUnavailableError(
            f"{start} answers, but not with video that can be read ({_reason(error, spec)}); check the URL's path "
            "and the camera's stream settings"
        )
    return CameraUnavailableError(f"{start} cannot be opened ({_reason(error, spec)}); check the address and network")


def _explain_usb(error: av_error.FFmpegError, spec: CameraSpec) -> CameraUnavailableError:
    device = f"/dev/video{spec.url.partition(':')[2]}"
    start = f"camera '{spec.name}': {spec.shown} ({device})"
    if isinstance(error, av_error.FileNotFoundError):
        return CameraUnavailableError(f"{start} is not there; connect the camera, or see `ls /dev/video*`")
    if isinstance(error, av_error.PermissionError):
        return CameraUnavailableError(f"{start} may not be opened; add this user to the group 'video'")
    if error.errno == errno.EBUSY:
        return CameraUnavailableError(f"{start} is in use by another program; stop that first")
    return CameraUnavailableError(f"{start} cannot be opened as a camera ({_reason(error, spec)}); try another number")


def _host_is_known(url: str) -> bool:
    """FFmpeg says "Input/output error" both of an unknown host and of a connection that ended too early."""
    parts = urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port)
    except OSError:
        return False
    return True


def _reason(error: av_error.FFmpegError, spec: CameraSpec) -> str:
    return mask_secrets(error.strerror or type(error).__name__, spec)
