"""`python -m vedette.learn.sagemaker.container.torchrun FLAGS -m vedette train ...`: torchrun that speaks as `vedette`.

It ends with 0, 1 or 130 as its processes did, and tells in one line what killed one that could not tell itself, where
torchrun would print a traceback and a table. SIGINT goes on to the processes.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence

DONE, FAILED, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str]) -> int:
    """Run the processes of this host to their end."""
    logging.disable(logging.CRITICAL)  # torchrun's words about signals and exit codes are of no help
    try:
        from torch.distributed import DistError
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.elastic.rendezvous.api import RendezvousError
        from torch.distributed.run import parse_args, run
    except KeyboardInterrupt:
        return INTERRUPTED
    try:
        run(parse_args(list(arguments)))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        return judge((rank, failure.exitcode) for rank, failure in error.failures.items())
    except (SignalException, KeyboardInterrupt):
        return INTERRUPTED
    except (DistError, RendezvousError, OSError) as error:
        lines = str(error).splitlines() or [repr(error)]
        say(f"the hosts of this job have not met: {lines[0]:.300}")
        return FAILED
    return DONE


def judge(ends: Iterable[tuple[int, int]]) -> int:
    """The exit code for processes that have ended with these (rank, code); code -N is a signal's."""
    codes = dict(ends)
    for rank, code in codes.items():
        if code < 0 and -code not in {signal.SIGTERM, signal.SIGINT}:  # which torchrun sends when one has failed
            want = ", most likely for want of memory: a smaller 'batch' or a larger instance" if code == -9 else ""
            say(f"process {rank + 1} was killed by signal {-code} ({signal.strsignal(-code)}){want}")
            return FAILED
    if INTERRUPTED in codes.values() and not any(code > 0 and code != INTERRUPTED for code in codes.values()):
        return INTERRUPTED
    return FAILED


def say(text: str) -> None:
    sys.stderr.write(f"vedette: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # torch's threads of a failed meeting would hold the end up
