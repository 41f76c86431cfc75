"""The program that decoders are forked from: it imports everything once, forks on request, reaps, and reports.

It is started by `spawner.Spawner`, never imported by it. It has one thread, so that forking is safe, and shares what it
imported with every decoder copy-on-write; a fork takes milliseconds. One control socket leads to its parent. When that
closes, however the parent ended, it kills its decoders and ends; when it dies itself, the kernel kills them.

Requests are JSON: `{"start": N}` with two file descriptors (the decoder's socket and its ring), `{"kill": N}`.
Reports: `{"ready": true}`, `{"started": N, "pid": P}`, `{"ended": N, "status": S}` with the status of waitpid.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
from typing import Any, NoReturn

import cv2

from vedette.edge.stream.decoder_process import decode_camera
from vedette.edge.stream.time_slices import lengthen_time_slices

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # linux/prctl.h
REQUEST_BYTES = 4096


def main(control_fd: int) -> NoReturn:
    """Serve until the parent is gone."""
    # Ctrl-C and a service's stop reach the whole group; the parent ends its decoders itself, in good order
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lengthen_time_slices()
    cv2.setNumThreads(1)  # one thread per camera, and none before a fork
    gc.collect()
    gc.freeze()  # collections in a decoder must not write into the pages that all share
    gc.enable()  # nothing was worth collecting while it imported
    control = socket.socket(fileno=control_fd)
    _name("vedette-spawner")
    _Nursery(control).serve()
    os._exit(0)


class _Nursery:
    """The decoders that live: process id -> the number that the parent knows them by."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers: dict[int, int] = {}
        self._woken_fd, self._wake_fd = os.pipe()
        os.set_blocking(self._woken_fd, False)
        os.set_blocking(self._wake_fd, False)

    def serve(self) -> None:
        signal.set_wakeup_fd(self._wake_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _do_nothing)  # a handler, or else nothing would be written to the pipe
        self._tell(ready=True)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken_fd, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._woken_fd in ready:
                    os.read(self._woken_fd, 512)
                    self._reap()
                if self._control.fileno() in ready and not self._answer():
                    break
        self._kill_all()

    def _answer(self) -> bool:
        """Do what the parent asks; false when it is gone."""
        try:
            content, fds, _, _ = socket.recv_fds(self._control, REQUEST_BYTES, 2)
        except OSError:
            return False
        if not content:
            return False
        request: dict[str, Any] = json.loads(content)
        if "start" in request:
            self._start(int(request["start"]), str(request["name"]), fds)
        else:
            for pid in [pid for pid, number in self._numbers.items() if number == request["kill"]]:
                os.kill(pid, signal.SIGKILL)
        return True

    def _start(self, number: int, name: str, fds: list[int]) -> None:
        spawner_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_decoder(spawner_pid, name)
                decode_camera(*fds)
            finally:
                os._exit(1)  # `decode_camera` does not return; nothing of the spawner may go on in a decoder
        self._numbers[pid] = number
        for fd in fds:
            os.close(fd)
        self._tell(started=number, pid=pid)

    def _become_decoder(self, spawner_pid: int, name: str) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != spawner_pid:  # it died before the line above
            os._exit(1)
        _name(f"cam {name}")
        self._control.close()
        os.close(self._woken_fd)
        os.close(self._wake_fd)

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._numbers.pop(pid, None)
            if number is not None:
                self._tell(ended=number, status=status)

    def _kill_all(self) -> None:
        for pid in self._numbers:
            os.kill(pid, signal.SIGKILL)
        for pid in self._numbers:
            os.waitpid(pid, 0)  # so that their processor time is counted as the parent's children's

    def _tell(self, **report: object) -> None:
        try:
            self._control.send(json.dumps(report).encode())
        except OSError:
            return  # the parent is gone; the next read says so


def _name(name: str) -> None:
    """What `top` and `ps` show: at most 15 bytes."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def _prctl(option: int, value: object) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _do_nothing(_number: int, _frame: object) -> None: ...
