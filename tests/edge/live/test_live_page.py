"""The live page over HTTP: addresses, pictures on demand, what viewers are told, what is refused."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
from live_wall import DrawnPicture, camera_status, event, stamp, status, tracks

from simulators.lag_meter import LagMeter
from vedette.contracts.ports import SelectiveView
from vedette.contracts.status import CameraState, Status
from vedette.edge.live import routes, snapshots
from vedette.edge.live.errors import PageUnavailableError
from vedette.edge.live.feed import MAX_EVENTS
from vedette.edge.live.page import LivePage
from vedette.edge.live.token_file import TokenFile

pytestmark = pytest.mark.needs_server


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(port=0, status=status(camera_status("north"), camera_status("south"))) as page:
        yield page


def request(
    page: LivePage, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def ask(page: LivePage, **seen: Any) -> tuple[dict[str, Any], list[bytes]]:
    code, _, body = request(page, "POST", "/next", json.dumps(seen).encode())
    assert code == 200, body
    at = 4 + int.from_bytes(body[:4], "big")
    head, pictures = json.loads(body[4:at]), []
    for entry in head["pictures"]:
        pictures.append(body[at : at + entry["size_bytes"]])
        at += entry["size_bytes"]
    assert at == len(body)
    return head, pictures


def decode(jpeg: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_a_page_wants_every_picture_while_somebody_looks_and_one_a_second_else(
    page: LivePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(page, SelectiveView) and page.wants("north")  # there is none yet
    page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
    assert not page.wants("north") and page.wants("south")
    monkeypatch.setattr(snapshots, "UNSEEN_EVERY_S", 0.0)
    assert page.wants("north")
    monkeypatch.undo()
    ask(page, cameras=["north"])
    page.show(stamp("north", 1), DrawnPicture(1), tracks(), {})
    assert page.wants("north")
    monkeypatch.setattr(snapshots, "LOOKED_AT_S", 0.0)
    assert not page.wants("north")


def test_nothing_is_converted_while_nobody_looks(page: LivePage) -> None:
    pictures = [DrawnPicture(number) for number in range(50)]
    for number, picture in enumerate(pictures):
        page.show(stamp("north", number), picture, tracks(), {})
    assert sum(picture.conversions for picture in pictures) == 0
    ask(page, cameras=["north"])
    assert [picture.conversions for picture in pictures] == [0] * 49 + [1]


def test_ten_viewers_cost_as_much_as_one(page: LivePage) -> None:
    picture = DrawnPicture(1)
    page.show(stamp("north", 0), picture, tracks((10, 10, 200, 200)), {})
    answers: list[int] = []
    viewers = [threading.Thread(target=lambda: answers.append(len(ask(page, cameras=["north"])[1]))) for _ in range(10)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert answers == [1] * 10
    assert picture.conversions == 1


def test_pictures_of_a_camera_are_made_at_most_five_times_a_second(page: LivePage) -> None:
    began, index = time.monotonic(), 0
    while time.monotonic() < began + 1.0 or index < 8:
        page.show(stamp("north", index), DrawnPicture(index), tracks(), {})
        ask(page, cameras=["north"])
        index += 1
    assert 2 <= page.pictures_made <= 1 + 5 * (time.monotonic() - began)


def test_an_answer_holds_status_boxes_and_a_small_clean_jpeg_of_visible_tiles_only(page: LivePage) -> None:
    for camera in ("north", "south"):
        page.show(stamp(camera, 7), DrawnPicture(7), tracks((10, 20, 300, 400), (500, 100, 600, 200.26)), {"gate": 1})
    head, pictures = ask(page, cameras=["south", "nowhere"])
    assert [entry["camera"] for entry in head["pictures"]] == ["south"]
    assert decode(pictures[0]).shape == (360, 640, 3)
    shown = head["pictures"][0]
    assert (shown["width_px"], shown["height_px"]) == (1280, 720)
    assert shown["boxes"] == [[10, 20, 300, 400, 1, 0], [500, 100, 600, 200.3, 2, 1]]
    assert shown["classes"] == {"0": ["bolt", "#e69f00"], "1": ["nut", "#56b4e9"]}
    assert [camera["name"] for camera in head["status"]["cameras"]] == ["north", "south"]
    assert head["status"]["cameras"][0]["lines"] == [{"name": "gate", "xy_px": [[640, 700], [640, 20]]}]
    assert head["status"]["process_cpu_percent"] >= 0
    assert 0 <= head["status"]["machine_cpu_percent"] <= 100


def test_what_a_viewer_has_is_not_sent_again(page: LivePage, monkeypatch: pytest.MonkeyPatch) -> None:
    page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
    page.add_event(event(1))
    head, pictures = ask(page, cameras=["north"])
    assert len(pictures) == 1
    assert len(head["events"]) == 1
    seen = {
        "instance": head["instance"],
        "event": head["events"][-1]["number"],
        "stages": head["stages_version"],
        "pictures": {"north": head["pictures"][0]["serial"]},
        "cameras": ["north"],
    }
    began = time.monotonic()
    head, pictures = ask(page, **seen)
    assert time.monotonic() - began > 0.4  # it waited for news, then told the status alone
    assert (head["events"], pictures, head["stages"]) == ([], [], None)
    monkeypatch.setattr(routes, "MAX_WAIT_S", 9.0)  # of the 10 s that `ask` waits
    began = time.monotonic()
    threading.Timer(0.1, lambda: page.add_event(event(2))).start()
    head, _ = ask(page, **seen)
    assert time.monotonic() - began < 8.5  # news ends the waiting
    assert [one["id"] for one in head["events"]] == ["2"]


def test_a_viewer_of_an_earlier_run_gets_everything(page: LivePage) -> None:
    page.add_event(event(1))
    head, _ = ask(page, instance="another", event=999, stages=999, pictures={"north": 999})
    assert [one["id"] for one in head["events"]] == ["1"]
    assert head["stages"] == []


def test_only_the_last_two_hundred_events_are_kept_and_listed_newest_first(page: LivePage) -> None:
    for number in range(MAX_EVENTS + 30):
        page.add_event(event(number))
    events = json.loads(request(page, "GET", "/events.json")[2])["events"]
    assert [one["id"] for one in events] == [str(n) for n in range(MAX_EVENTS + 29, 29, -1)]
    assert events[0]["data"]["class"] == "bolt"


def test_the_snapshot_is_annotated_with_boxes_lines_zones_and_counts(page: LivePage) -> None:
    plain = DrawnPicture(3).to_bgr()
    page.show(stamp("north", 3), DrawnPicture(3), tracks((800, 300, 1000, 500)), {"gate a→b": 12})
    code, headers, jpeg = request(page, "GET", "/snapshot/north.jpg")
    assert (code, headers["content-type"]) == (200, "image/jpeg")
    drawn = np.abs(decode(jpeg).astype(int) - plain).max(axis=2) > 40
    assert drawn[300:500, 797:803].any(axis=1).all()  # the box's left side
    assert drawn[100:600, 636:644].any(axis=1).all()  # the line
    assert drawn[150:350, 80:110].any()  # the zone's edge
    assert drawn[650:, :250].any()  # the counts
    assert not drawn[550:640, 1050:].any()  # and nothing where nothing is


def test_camera_names_may_hold_any_sign() -> None:
    name = "a/b ü?<>.jpg"
    with LivePage(port=0, status=status(camera_status(name))) as page:
        page.show(stamp(name, 0), DrawnPicture(0), tracks(), {})
        assert request(page, "GET", "/snapshot/a/b%20%C3%BC%3F%3C%3E.jpg.jpg")[0] == 200


def test_status_events_health_and_unknown_addresses(page: LivePage) -> None:
    assert request(page, "GET", "/healthz")[2] == b"ok"
    document = json.loads(request(page, "GET", "/status.json")[2])
    assert document["engine"] == "OpenVINO 2025.4, fp32"
    assert document["cameras"][0]["counts"] == {"gate a_to_b bolt": 12, "gate b_to_a nut": 3}
    for path in ("/snapshot/nowhere.jpg", "/assets/../page.py", "/assets/page.py", "/stages/0/0", "/nothing"):
        assert request(page, "GET", path)[0] == 404, path
    assert request(page, "POST", "/status.json")[0] == 403


def test_counts_and_size_come_from_the_newest_frame_where_the_status_has_none() -> None:
    bare = camera_status("north")
    bare = type(bare)("north", CameraState.RUNNING)
    with LivePage(port=0, status=status(bare)) as page:
        page.show(stamp("north", 0), DrawnPicture(0), tracks(), {"gate a→b": 4})
        camera = json.loads(request(page, "GET", "/status.json")[2])["cameras"][0]
    assert camera["counts"] == {"gate a→b": 4}
    assert (camera["width_px"], camera["height_px"]) == (1280, 720)


def test_the_status_is_asked_for_at_most_twice_a_second_whoever_looks() -> None:
    asked = []

    def count() -> Status:
        asked.append(time.monotonic())
        return Status()

    with LivePage(port=0, status=count) as page:
        for _ in range(20):
            request(page, "GET", "/status.json")
    assert 1 <= len(asked) <= 1 + (asked[-1] - asked[0]) / 0.5


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "192.168.1.5:{port}", "localhost.evil.example", ""]
)
def test_requests_for_another_host_are_refused_on_loopback(page: LivePage, host: str) -> None:
    code, headers, body = request(page, "GET", "/status.json", Host=host.format(port=page.port))
    assert code == 421
    assert b"north" not in body
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("host", ["localhost", "localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "127.0.0.1"])
def test_requests_for_this_machine_are_answered(page: LivePage, host: str) -> None:
    assert request(page, "GET", "/status.json", Host=host.format(port=page.port))[0] == 200


def test_other_sites_may_not_ask(page: LivePage) -> None:
    assert request(page, "POST", "/next", b"{}", Sec_Fetch_Site="cross-site")[0] == 403
    assert request(page, "POST", "/next", b"{}", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"cameras": 3}',
        b'{"pictures": {"north": "x"}}',
        b'{"event": null}',
        b"\xff\xfe",
        b'{"a":"' + b"x" * 70_000 + b'"}',
    ],
)
def test_a_broken_request_is_refused_and_the_page_goes_on(page: LivePage, body: bytes) -> None:
    assert request(page, "POST", "/next", body)[0] == 400
    assert request(page, "GET", "/healthz")[0] == 200


def test_every_answer_keeps_the_page_on_this_machine(page: LivePage) -> None:
    page.show(stamp("north", 0), DrawnPicture(0), tracks(), {})
    for path in ("/", "/assets/app.js", "/assets/style.css", "/snapshot/north.jpg", "/status.json", "/nothing"):
        headers = request(page, "GET", path)[1]
        assert "connect-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_a_port_in_use_is_one_sentence() -> None:
    with LivePage(port=0) as page, pytest.raises(PageUnavailableError) as refused:
        LivePage(port=page.port)
    assert str(page.port) in str(refused.value)
    assert "in use" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_another_machine_is_one_sentence(host: str) -> None:
    with pytest.raises(PageUnavailableError, match=r"live page"):
        LivePage(host, 0)


def test_it_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    with LivePage(port=0) as page:
        assert page.is_loopback
        assert page.url == f"http://127.0.0.1:{page.port}/"
    with LivePage("0.0.0.0", 0, tokens=TokenFile(tmp_path / "tokens")) as page:  # the person asked for it
        assert not page.is_loopback
        assert request(page, "GET", "/status.json", Host="box.example")[0] == 401


def test_it_stops_within_a_second_while_somebody_looks_and_frees_the_port() -> None:
    page = LivePage(port=0)
    idle = socket.create_connection(("127.0.0.1", page.port))
    waiting = threading.Thread(target=lambda: ask(page, instance="x"))
    waiting.start()
    time.sleep(0.1)
    with LagMeter() as lag:
        began = time.monotonic()
        page.close()
        assert time.monotonic() - began < 1.0 + lag.slack_s
    waiting.join(timeout=20)
    assert not waiting.is_alive()
    idle.close()
    page.close()  # twice is no error
    with LivePage(port=page.port) as again, urlopen(f"{again.url}healthz", timeout=5) as response:
        assert response.read() == b"ok"
