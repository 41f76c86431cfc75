"""`python -m vedette.learn.sagemaker.container [train] [--base FOLDER] [--NAME VALUE ...]`: what a training image runs.

SageMaker says `train`, but not to a ContainerEntrypoint. SAGEMAKER_BASE_DIR, or --base, puts something else in place of
/opt/ml, for rehearsals. Hyper-parameters may be given as flags too: so does sagemaker-training-toolkit. This is the one
module of the part that reads the environment.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vedette.learn.sagemaker.container.folders import BASE, RELOCATED, folders_of
from vedette.learn.sagemaker.container.program import run_program

USAGE = "usage: python -m vedette.learn.sagemaker.container [train] [--base FOLDER] [--NAME VALUE ...]"
WRONG_USAGE = 2


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Read the command line and do the job."""
    flags = read_flags(arguments[1:] if arguments[:1] == ["train"] else arguments)
    if flags is None:
        sys.stderr.write(f"{USAGE}\n")
        return WRONG_USAGE
    base = Path(flags.pop("base", "") or environ.get(RELOCATED) or BASE)
    return run_program(folders_of(base, environ), flags, environ, say)


def read_flags(arguments: Sequence[str]) -> dict[str, str] | None:
    """`--epochs 3 --size=416` as names and texts; None when it is something else."""
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name, sign, text = rest.pop(0).partition("=")
        if not name.startswith("--") or len(name) < 3 or (not sign and not rest):
            return None
        flags[name[2:]] = text if sign else rest.pop(0)
    return flags


def say(line: str) -> None:
    """One line of the log, at once: nothing may lie in a buffer when the machine is taken away."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
