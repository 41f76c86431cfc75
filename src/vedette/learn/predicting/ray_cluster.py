"""A detector over a Ray cluster, by Ray Data: an actor for each process asked for, which keeps a worker process.

The actor's worker is that of `processes.WorkerPool`: the same program as without a cluster, so the same results, and a
picture that kills workers is reported and kills no actor. An actor or node that is lost is Ray's to replace: it runs
the batch again. Every node must see the pictures and the bundle at the same paths and have the same Vedette. `ray` is
imported when it is needed: it is an extra.
"""

import logging
import math
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vedette.contracts.errors import VedetteError
from vedette.contracts.ports import Progress
from vedette.learn.predicting.errors import WorkersError
from vedette.learn.predicting.outcomes import Opener, Outcome, Outcomes
from vedette.learn.predicting.processes import WorkerPool
from vedette.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_OF_BATCH = 64  # pictures that are done again when an actor is lost
BATCHES_OF_PROCESS = 8  # at least, where there are pictures enough, so that all end at about the same time


def outcomes_on_ray(opener: Opener, pictures: Sequence[Path], processes: int, progress: Progress) -> Outcomes:
    """The outcome of every picture, as they come.

    A cluster that runs is used (RAY_ADDRESS, or one on this computer), else one is started here until the end.

    Raises:
        WorkersError: the cluster cannot be used.
        VedetteError: what the opener, or the detector, raised there.
    """
    import ray
    import ray.data

    with _cluster() as processors:
        actors = max(1, min(processes, processors))
        if actors < processes:
            progress.say(f"the Ray cluster has {processors} processors: {actors} processes instead of {processes}")
        batch = max(1, min(MOST_OF_BATCH, math.ceil(len(pictures) / (actors * BATCHES_OF_PROCESS))))
        rows = [{"number": number, "picture": str(picture)} for number, picture in enumerate(pictures)]
        try:
            found = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / batch)).map_batches(
                Actor,
                fn_constructor_args=(pickle.dumps(opener), __version__),
                batch_size=None,  # a block
                concurrency=actors,
                num_cpus=1,
            )
            for row in found.iter_rows():
                result = pickle.loads(row["outcome"])
                if isinstance(result, VedetteError):
                    raise result
                yield int(row["number"]), result
        except ray.exceptions.RayError as error:
            raise WorkersError(f"the Ray cluster failed: {_last_line(error)}") from error


class Actor:
    """What Ray runs on a node: batches of pictures through one worker process."""

    def __init__(self, opener: bytes, version: str) -> None:
        self._mistake: VedetteError | None = None
        if version != __version__:
            self._mistake = WorkersError(
                f"a node of the Ray cluster has Vedette {__version__}, this computer {version}"
            )
        self._pool = WorkerPool(pickle.loads(opener), 1)

    def __call__(self, batch: "dict[str, NDArray[np.object_]]") -> dict[str, Any]:
        """`number` and `picture` in, `number` and pickled `outcome` out: an outcome, or the error that ends it all."""
        import numpy as np

        numbers = [int(number) for number in batch["number"]]
        pictures = [Path(str(picture)) for picture in batch["picture"]]
        results: list[Outcome | VedetteError] = []
        order: list[int] = []
        try:
            if self._mistake is not None:
                raise self._mistake
            for place, outcome in self._pool.outcomes(pictures):
                order.append(numbers[place])
                results.append(outcome)
        except VedetteError as error:
            order, results = numbers[:1], [error]
        packed = np.empty(len(results), dtype=np.object_)  # bytes as they are: an array of them would cut zeros
        packed[:] = [pickle.dumps(result) for result in results]
        return {"number": np.array(order, np.int64), "outcome": packed}


@contextmanager
def _cluster() -> Iterator[int]:
    """A connection to the cluster; how many processors it has."""
    import ray
    from ray.data import DataContext

    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise WorkersError(f"the Ray cluster cannot be reached: {_last_line(error)}") from error
    context = DataContext.get_current()
    before = context.enable_progress_bars
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        context.enable_progress_bars = before
        if ours:
            ray.shutdown()


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
