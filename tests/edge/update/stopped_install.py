"""Installs SOURCE into the releases of BOX and stops itself (SIGSTOP) before each thing done to the file system.

    python stopped_install.py BOX SOURCE

Whoever started it looks at the disk and lets it go on (SIGCONT). Exit code 0 when it is installed.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from interrupted_install import EVENTS, install

from vedette.edge.update.releases import Releases


def main(box: str, source: str) -> None:
    releases = Releases(Path(box))

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and arguments and str(arguments[0]).startswith(box):
            os.kill(os.getpid(), signal.SIGSTOP)

    sys.addaudithook(watch)
    install(releases, source)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
