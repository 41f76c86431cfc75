"""Installs and rolls back on one box again and again, killed at random times: `vedette install`, with engine and gate.

    python killed_installs.py KILLS SEED BOX BUNDLE BUNDLE...

This process imports everything once and forks a child for every attempt. After each kill the pair must be the old or
the new one, every byte verified; then one undisturbed attempt must bring the new one. Attempts that end before they are
killed are none of the count. Writes a line of JSON: kills, how many of them already had the new pair, completed
attempts, seconds of the median attempt.
"""

import json
import os
import random
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from golden_squares import digest_of
from vedette.apps import bundle_arrival, cli, install, object_storage  # noqa: F401 - imported before the first fork
from vedette.edge.engines import onnxruntime, opening  # noqa: F401
from vedette.edge.update import gate  # noqa: F401
from vedette.edge.update.releases import Releases

ROLLBACKS = 0.2
MOST_ATTEMPTS = 20  # a kill
Pair = tuple[str | None, str | None]


def pair_of(box: Path) -> Pair:
    found = Releases(box).running()
    return tuple(None if place is None else digest_of(place) for place in (found.current, found.previous))


def attempt(work: Callable[[], object], log: Path, kill_after_s: float | None) -> tuple[bool, float]:
    """Do it in a child; whether it was killed, and how long it took."""
    began_s = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(told, 1)
            os.dup2(told, 2)
            work()
            code = 0
        except BaseException:  # whatever it is, the parent hears of it
            traceback.print_exc()
            raise
        finally:
            sys.stderr.flush()
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)  # it is a zombie at the least: nobody else has waited for it
    status = os.waitpid(child, 0)[1]
    took_s = time.monotonic() - began_s
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True, took_s
    assert os.WEXITSTATUS(status) == 0, f"an attempt ended with {status}: {log.read_text()}"
    return False, took_s


def main(kills: int, seed: int, box: Path, bundles: list[Path]) -> dict[str, float]:
    chance, log = random.Random(seed), box.with_name("log")
    digests = {digest_of(bundle): bundle for bundle in bundles}
    put = partial(install.install, to=box, engine="onnxruntime")
    back = partial(install.rollback, to=box)
    usual_s = {}
    for name, works in (("install", [partial(put, str(one)) for one in bundles * 2]), ("rollback", [back] * 6)):
        usual_s[name] = statistics.median(attempt(work, log, None)[1] for work in works)
    killed = came = completed = 0
    while killed < kills:
        assert killed + completed < MOST_ATTEMPTS * kills, "hardly any attempt is killed before it ends"
        old = pair_of(box)
        name = "rollback" if chance.random() < ROLLBACKS else "install"
        wanted = old[1] if name == "rollback" else chance.choice([one for one in digests if one != old[0]])
        assert wanted is not None
        new: Pair = (wanted, old[0])
        work = back if name == "rollback" else partial(put, str(digests[wanted]))
        was_killed, _ = attempt(work, log, chance.uniform(0, 1.1 * usual_s[name]))
        found = pair_of(box)
        assert found in (old, new), f"kill {killed}: {found} is neither {old} nor {new}"
        if not was_killed:
            assert found == new
            completed += 1
            continue
        killed, came = killed + 1, came + (found == new)
        if found == old:
            attempt(work, log, None)
            assert pair_of(box) == new, f"kill {killed}: the next attempt did not bring the new one"
    usual = {f"{name}_s": round(seconds, 4) for name, seconds in usual_s.items()}
    return {"kills": killed, "came": came, "completed": completed, **usual}


if __name__ == "__main__":
    kill_count, random_seed, box_folder, *sources = sys.argv[1:]
    report = main(int(kill_count), int(random_seed), Path(box_folder), [Path(one) for one in sources])
    sys.stdout.write(json.dumps(report))
