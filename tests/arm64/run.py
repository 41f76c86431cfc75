"""`make test-arm64`: makes the arm64 root, runs its tests and the box parser's in it, and tells times and figures.

Exit code 77 where this machine cannot, with the reason and what would mend it. CONTRIBUTING.md says what it proves.
"""

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from arm64_root import REPOSITORY, Arm64Error, Arm64Root, missing, say

SKIPPED = 77
TESTS = ("tests/arm64", "tests/edge/deepstream/test_parser.py")


def main(wheels: Path) -> int:
    reason = missing()
    if reason is not None:
        say(f"skipped: {reason}")
        return SKIPPED
    found = sorted(wheels.glob("vedette-*.whl"), key=lambda path: path.stat().st_mtime)
    if not found:
        say(f"{wheels}: no wheel of Vedette; make dist")
        return 1
    made = Arm64Root.of_environment()
    made.folder.mkdir(parents=True, exist_ok=True)
    with (made.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{made.folder}: another run works in it")
            return 1
        return _run(made, found[-1].resolve())


def _run(made: Arm64Root, wheel: Path) -> int:
    say(f"the arm64 root is in {made.folder}; what is made stays there for the next time")
    try:
        times = made.prepare(wheel)
    except Arm64Error as error:
        say(f"failed: {error}")
        return 1
    figures = made.folder / "figures.json"
    figures.unlink(missing_ok=True)
    begun_s = time.monotonic()
    environment = {
        "VEDETTE_ARM64": str(made.folder),
        "VEDETTE_ARM64_FIGURES": str(figures),
        "VEDETTE_AARCH64_RUNNER": shlex.join([sys.executable, str(Path(__file__).with_name("enter.py"))]),
    }
    command = [sys.executable, "-m", "pytest", "-v", "-k", "arm64 or aarch64", *TESTS]
    code = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **environment}, check=False).returncode
    told = json.loads(figures.read_text()) if figures.exists() else {}
    times["tests"] = round(time.monotonic() - begun_s, 1)
    say(json.dumps({"seconds": times, **told}, indent=2))
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "dist"))
    except KeyboardInterrupt:
        say("stopped; the next run goes on from here")
        sys.exit(130)
