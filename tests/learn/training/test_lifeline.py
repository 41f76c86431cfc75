"""The connection between processes that train together: what one hears of the end of another."""

import queue
import socket
from contextlib import suppress
from threading import Event, Thread

import pytest

from vedette.learn.training.lifeline import Kind, Lifeline, News, accept_all, connect, listen

LONG_S = 60.0


def two_ends() -> tuple[socket.socket, socket.socket]:
    server = listen("127.0.0.1")
    address = ("127.0.0.1", server.getsockname()[1])
    other = connect(address, "secret", 1, LONG_S)
    return accept_all(server, "secret", {1: "process 2"}, LONG_S)["process 2"], other


def test_the_end_of_a_connection_without_a_word_is_a_loss() -> None:
    mine, theirs = two_ends()
    given_up: queue.Queue[News] = queue.Queue()
    lifeline = Lifeline({"process 2": mine}, given_up.put, grace_s=0.0)
    theirs.close()
    news = given_up.get(timeout=LONG_S)  # the main thread has not come back in time
    assert news.kind is Kind.FAILED
    assert news.exit_code == 1
    assert news.text.startswith("process 2 of this training ended without a word")
    assert lifeline.loss(LONG_S) is news
    lifeline.close(News(Kind.FAILED, "so this one ends too"))


@pytest.mark.parametrize("kind", [Kind.FAILED, Kind.INTERRUPTED])
def test_last_words_reach_every_other_process_by_way_of_the_first(kind: Kind) -> None:
    first_to_second, second_side = two_ends()
    first_to_third, third_side = two_ends()
    first = Lifeline({"process 2": first_to_second, "process 3": first_to_third}, grace_s=LONG_S)
    second, third = (Lifeline({"process 1": side}, grace_s=LONG_S) for side in (second_side, third_side))
    news = News(kind, "process 2 failed: picture.jpg cannot be read")
    second.close(news)
    assert first.loss(LONG_S) == news
    assert third.loss(LONG_S) == news
    assert news.exit_code == (130 if kind is Kind.INTERRUPTED else 1)
    for one in (first, third):
        one.close(news)


def test_an_orderly_end_is_no_loss() -> None:
    mine, theirs = two_ends()
    first, second = Lifeline({"process 2": mine}), Lifeline({"process 1": theirs})
    second.close(News(Kind.LEFT, ""))
    assert first.loss(0.5) is None
    first.close(News(Kind.LEFT, ""))


def test_strangers_are_sent_away() -> None:
    server = listen("127.0.0.1")
    address = ("127.0.0.1", server.getsockname()[1])
    found: queue.Queue[dict[str, socket.socket]] = queue.Queue()
    waiting = Thread(target=lambda: found.put(accept_all(server, "secret", {1: "process 2"}, LONG_S)))
    waiting.start()
    for line in (b"GET / HTTP/1.1\r\n\r\n", b"wrong 1\n", b"secret 7\n", b"\xff" * 300):
        with socket.create_connection(address, LONG_S) as stranger:
            stranger.sendall(line)
            try:
                assert stranger.recv(1) == b""
            except ConnectionResetError:  # closed with some of the line unread
                continue
    friend = connect(address, "secret", 1, LONG_S)
    connections = found.get(timeout=LONG_S)
    waiting.join()
    connections["process 2"].close()
    friend.close()


@pytest.mark.parametrize("pieces", [0, 1000])
def test_a_stranger_that_takes_its_time_does_not_hold_up_the_others(pieces: int) -> None:
    server = listen("127.0.0.1")
    address = ("127.0.0.1", server.getsockname()[1])
    over = Event()

    def dawdle(stranger: socket.socket) -> None:
        with suppress(OSError):  # it is sent away
            for _ in range(pieces):
                stranger.sendall(b"x")
                if over.wait(0.01):
                    return

    with socket.create_connection(address, LONG_S) as stranger:
        slow = Thread(target=dawdle, args=(stranger,), daemon=True)
        slow.start()
        other = connect(address, "secret", 1, LONG_S)
        found = accept_all(server, "secret", {1: "process 2"}, LONG_S, hello_s=0.05)
        over.set()
        slow.join()
    assert list(found) == ["process 2"]
    for one in (other, *found.values()):
        one.close()


def test_who_does_not_come_is_not_waited_for_without_end() -> None:
    with pytest.raises(OSError):
        accept_all(listen("127.0.0.1"), "secret", {1: "process 2"}, 0.05)
