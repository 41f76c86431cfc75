"""Runs a program of an arm64 root under qemu, in Linux namespaces of its own: user, mount, process, network.

Guarantees: whatever ends it (its end, a time limit, Ctrl-C, kill -9 of who started it), every process in there ends,
and with the last one every mount and qemu's registration; the machine's own are never touched. No network is to be had
in there. Needs root (a root file system has files of many users). Source: user_namespaces(7), binfmt_misc in user
namespaces (Linux 6.7).
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

INSIDE = Path(__file__).parent / "inside.sh"
USERS = 65536
PATIENCE_S = 20.0
# The user namespace first, then, once who is who is written down, the others: only then may the first process mount.
ENTER = 'read -r _ && exec setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child -- sh "$@"'
ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "HOME": "/tmp",
    "QEMU_CPU": "cortex-a57",  # the Jetson Nano's; ARMv8.0, so nothing may want more
    "OMP_NUM_THREADS": "2",
}


@contextmanager
def started(
    arguments: Sequence[str | Path], environment: Mapping[str, str] | None = None, **options: object
) -> Iterator["subprocess.Popen[str]"]:
    """`inside.sh` with these arguments; ended when the block ends."""
    command = ["unshare", "--user", "--", "sh", "-c", ENTER, "sh", str(INSIDE), *map(str, arguments)]
    surroundings = {"PATH": os.environ["PATH"], **ENVIRONMENT, **(environment or {})}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=surroundings, text=True, **options) as process:
        try:
            _let_in(process)
            yield process
        finally:
            process.kill()  # its child goes with it, and everything with that one, the first process in there


def _let_in(process: "subprocess.Popen[str]") -> None:
    """Write down that users are who they are outside, once the process stands in its namespace."""
    ours, give_up_s = Path("/proc/self/ns/user").readlink(), time.monotonic() + PATIENCE_S
    place = Path(f"/proc/{process.pid}")
    while (place / "ns/user").readlink() == ours:
        if process.poll() is not None or time.monotonic() > give_up_s:
            return  # what it said about that is on its standard error
        time.sleep(0.005)
    for kind in ("uid", "gid"):
        (place / f"{kind}_map").write_text(f"0 0 {USERS}\n")
    if process.stdin is not None:
        process.stdin.write("\n")
        process.stdin.close()
        process.stdin = None


def reason_not_to() -> str | None:
    """Why programs for arm64 cannot be run here, None when they can."""
    command = ("-", "/bin/sh", "-", "-")  # the look wants some program to register
    try:
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            said = process.communicate(timeout=PATIENCE_S)[0]
    except OSError as error:
        return f"namespaces cannot be made here: {error}"
    return None if process.returncode == 0 else said.strip() or f"exit code {process.returncode}"
