"""How a process that torchrun started finds the others: by RANK, WORLD_SIZE, MASTER_ADDR, ... of its environment.

Guarantees: who does not find the others within ten minutes, or loses one of them later, ends with a message; a process
whose torchrun is gone ends with it (Linux). How it ends is told to the others.
"""

import ctypes
import json
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import torch
import torch.distributed as dist

from vedette.contracts.errors import VedetteError
from vedette.learn.training.errors import PeerError, SettingsError
from vedette.learn.training.lifeline import Kind, Lifeline, News, accept_all, connect, listen
from vedette.learn.training.peers import ALONE, Peers

MEETING_S = 600.0  # hosts of a job start within minutes of each other
OPERATION_S = 7200.0  # the longest that others wait while the first one judges and draws charts
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def is_one_of_many(environ: Mapping[str, str]) -> bool:
    """Whether torchrun started this process as one of several."""
    return "RANK" in environ and environ.get("WORLD_SIZE", "1") != "1"


@contextmanager
def join_peers(environ: Mapping[str, str]) -> Iterator[Peers]:
    """Meet the others, and leave them at the end, orderly or with the reason of an error.

    Raises:
        PeerError: they do not come.
        SettingsError: the environment contradicts itself, or has more processes than GPUs.
    """
    if not is_one_of_many(environ):
        yield ALONE
        return
    peers = _place(environ)
    use_gpu = _choose_gpu(peers)
    _end_with_parent()
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if use_gpu else "gloo", timeout=timedelta(seconds=MEETING_S), device_id=None
        )
        peers = replace(peers, group=dist.new_group(timeout=timedelta(seconds=OPERATION_S)))
        lifeline = _tie(peers, environ["MASTER_ADDR"])
    except (RuntimeError, ValueError, OSError) as error:
        lines = str(error).splitlines() or [repr(error)]
        raise PeerError(f"{peers.name} has not met the others: {lines[0]:.300}") from error
    end = News(Kind.LEFT, "")
    try:
        yield replace(peers, lifeline=lifeline)
    except KeyboardInterrupt:
        end = News(Kind.INTERRUPTED, f"{peers.name} was asked to stop")
        raise
    except BaseException as error:  # whatever it is, the others wait to hear of it; it goes on from here
        what = str(error) if isinstance(error, VedetteError) else repr(error)
        end = News(Kind.FAILED, what if isinstance(error, PeerError) else f"{peers.name} failed: {what}")
        raise
    finally:
        lifeline.close(end)
        if end.kind is Kind.LEFT:  # else the others no longer answer, and the end of the process does it
            dist.destroy_process_group()


def _place(environ: Mapping[str, str]) -> Peers:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    try:
        rank, count, local_rank, local_count = (int(environ[name]) for name in names)
        if not 0 <= rank < count or not environ["MASTER_ADDR"]:
            raise ValueError(rank)
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"RANK is set, but {', '.join(names[1:])} and MASTER_ADDR do not go with it ({error}); start several "
            "processes with torchrun, or unset it"
        ) from error
    return Peers(rank, count, local_rank, local_count, environ.get("VEDETTE_HOST") or socket.gethostname())


def _choose_gpu(peers: Peers) -> bool:
    if not torch.cuda.is_available():
        return False
    if peers.local_count > torch.cuda.device_count():
        raise SettingsError(
            f"{peers.local_count} processes on {peers.host}, which has {torch.cuda.device_count()} GPUs; start one for "
            "each, or hide the GPUs (CUDA_VISIBLE_DEVICES= ) to train on processors"
        )
    torch.cuda.set_device(peers.local_rank)
    return True


def _tie(peers: Peers, first_host: str) -> Lifeline:
    """Connect each process with the first."""
    server = listen() if peers.is_first else None
    offered = [secrets.token_hex(16), server.getsockname()[1]] if server is not None else []
    token, port = json.loads(peers.share(json.dumps(offered).encode()))
    names = [name.decode() for name in peers.collect(peers.name.encode())]
    if server is not None:
        return Lifeline(accept_all(server, token, dict(list(enumerate(names))[1:]), MEETING_S))
    return Lifeline({names[0]: connect((first_host, port), token, peers.rank, MEETING_S)})


def _end_with_parent() -> None:
    """torchrun ties its processes to nothing: killed itself, it would leave them behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
