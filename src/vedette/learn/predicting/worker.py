"""The program of a worker process: opens a detector once, then answers picture after picture, in order.

It is started by `processes.WorkerPool` with a socket and our import path, as a program of its own: nothing of the
caller's is run again, no thread or lock of the caller's is inherited. It ends when the socket does, that is also when
the caller was killed.
"""

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import cv2

from vedette.contracts.errors import VedetteError
from vedette.learn.predicting.outcomes import Opener, outcome_of

READY, OUTCOME, ERROR = "ready", "outcome", "error"


def main(handle: int) -> None:
    """Work until the socket is closed. An error that is none of a picture's goes to the caller and ends the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, who closes the socket
    cv2.setNumThreads(1)  # the processes are what is parallel here
    connection = Connection(handle)
    try:
        opener: Opener = connection.recv()
        predict = opener()
        connection.send((READY, os.getpid()))
        while True:
            number, picture = connection.recv()
            connection.send((OUTCOME, (number, outcome_of(predict, Path(picture)))))
    except VedetteError as error:
        connection.send((ERROR, error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits any more
