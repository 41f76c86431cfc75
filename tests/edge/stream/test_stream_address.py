"""What FFmpeg is given for a camera, and what people see of it."""

import pytest

from vedette.edge.stream.address import resolve_address
from vedette.edge.stream.camera_spec import CameraSpec, SourceKind
from vedette.edge.stream.errors import CameraInputError
from vedette.edge.stream.masking import mask_secrets

PASSWORD = "p@ss:w/örd %41"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("clips/a.mp4", SourceKind.FILE),
        ("/a:b.mp4", SourceKind.FILE),
        ("rtsp://h/x", SourceKind.RTSP),
        ("RTSPS://h/x", SourceKind.RTSP),
        ("http://h/x", SourceKind.HTTP),
        ("https://h/x", SourceKind.HTTP),
        ("usb:0", SourceKind.USB),
        ("csi:1", SourceKind.CSI),
    ],
)
def test_the_url_tells_the_kind(url: str, kind: SourceKind):
    assert CameraSpec("a", url).kind is kind


def test_only_unpaced_files_are_lossless():
    assert CameraSpec("a", "a.mp4", loop=True).is_lossless
    assert not CameraSpec("a", "a.mp4", realtime=True).is_lossless
    assert not CameraSpec("a", "rtsp://h/x").is_lossless


def test_protocols_are_closed_to_those_of_the_kind():
    for url, allowed in [
        ("a.mp4", {"file"}),
        ("rtsp://h/x", {"rtsp", "rtsps", "tcp", "tls"}),
        ("http://h/x", {"http", "https", "tcp", "tls", "crypto"}),
    ]:
        assert set(resolve_address(CameraSpec("a", url)).options["protocol_whitelist"].split(",")) == allowed


def test_credentials_are_escaped_into_the_address_and_never_shown():
    spec = CameraSpec("a", "rtsp://host:554/live?ch=1", username="ädmin", password=PASSWORD)
    address = resolve_address(spec)
    assert address.url == "rtsp://%C3%A4dmin:p%40ss%3Aw%2F%C3%B6rd%20%2541@host:554/live?ch=1"
    assert address.shown == spec.url
    for text in (repr(spec), repr(address), mask_secrets(f"cannot open {address.url}: {PASSWORD}", spec)):
        assert PASSWORD not in text and "%C3%B6rd" not in text


@pytest.mark.parametrize("url", ["concat:a.mp4|b.mp4", "ftp://h/x", "file:///etc/passwd", "usb:x", "rtsp://u:p@h/x"])
def test_other_addresses_are_refused(url: str):
    with pytest.raises(CameraInputError, match="camera 'a': "):
        resolve_address(CameraSpec("a", url))
