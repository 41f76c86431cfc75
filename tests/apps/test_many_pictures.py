"""Where many pictures go: the share of processors, and clusters that are not there."""

import socket

import pytest

from vedette.apps.cli import missing_extra
from vedette.apps.many_pictures import available_processors, check_cluster, check_processes, threads_of_each
from vedette.contracts.errors import UsageError
from vedette.learn.predicting.errors import WorkersError


def test_processors_are_shared_out() -> None:
    there = available_processors()
    assert threads_of_each(1, "local") == there
    assert threads_of_each(2 * there, "local") == 1
    assert threads_of_each(1, "ray") == 1


def test_a_number_of_processes_that_cannot_be_is_refused() -> None:
    check_processes(1024)
    for number in (0, -3, 1025):
        with pytest.raises(UsageError, match=f"got {number}"):
            check_processes(number)


def test_an_address_at_which_nothing_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_cluster(f"127.0.0.1:{port}")
        check_cluster(f"ray://127.0.0.1:{port}")
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(WorkersError, match="cannot be reached"):
            check_cluster(address)
    for address in ("", "auto", "local", "host:name", "host:99999"):
        check_cluster(address)  # Ray's to judge


def test_the_extra_of_ray_is_named() -> None:
    assert missing_extra("ray.data") == "ray"
