"""`python tests/arm64/enter.py PROGRAM [ARGUMENT...]` runs a program of the arm64 root in this folder, its /mnt.

So the tests of the box parser find their aarch64 machine (VEDETTE_AARCH64_RUNNER), and a person a shell: PROGRAM = sh.
"""

import os
import sys
from pathlib import Path

from arm64_root import Arm64Root
from namespaces import started


def main() -> int:
    environment = {name: os.environ[name] for name in ("VEDETTE_DECODE",) if name in os.environ}
    arguments = Arm64Root.of_environment().arguments(Path.cwd(), sys.argv[1:])
    with started(arguments, environment) as process:
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
