"""Ports of 127.0.0.1 that nobody listens on, and that nobody is given either until the test takes them.

They lie below the ports that the kernel gives to whoever asks for any (`net.ipv4.ip_local_port_range`, from 32768):
another program cannot come by one meanwhile, nor can who connects there reach itself. Each process of a test run looks
in a part of its own.
"""

import itertools
import os
import socket

FIRST, LAST, PART = 12_000, 32_000, 500
_STEPS = itertools.count()


def unused_port() -> int:
    """Another one at each call."""
    begin = FIRST + os.getpid() * PART % (LAST - FIRST)
    for _ in range(PART):
        port = begin + next(_STEPS) % PART
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # somebody's
                continue
            return port
    raise AssertionError(f"all ports from {begin} to {begin + PART - 1} are taken")
