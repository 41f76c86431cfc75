"""The processes that train one network together, seen from one of them; `ALONE` is the process that trains by itself.

Guarantees: every process gets the same bits from an operation; an operation that another process does not come to ends
with that one's reason. What all processes must do in the same order is the callers' matter. Sums and shares go by gloo
on the CPU and NCCL on GPUs. Left out: how processes find each other (`joining`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vedette.contracts.errors import VedetteError
from vedette.learn.training.errors import PeerError
from vedette.learn.training.lifeline import Kind, Lifeline

REASON_S = 10.0  # for the news of a loss, once an operation has failed
PATHS = "surrogateescape"  # names of files need not be UTF-8; Python keeps their bytes so
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Peers:
    """One process (`rank`, from 0) of `count`; on its host it is number `local_rank` of `local_count`."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    host: str = ""
    group: Any = None  # torch.distributed's
    lifeline: Lifeline | None = None

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes the run and speaks."""
        return self.rank == 0

    @property
    def are_many(self) -> bool:
        return self.count > 1

    @property
    def name(self) -> str:
        """For messages."""
        return f"process {self.rank + 1} of {self.count} (on {self.host})"

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, in float64."""
        if not self.are_many:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        self.add_up(total)
        found: list[float] = total.tolist()
        return found

    def add_up(self, values: Tensor) -> None:
        """Replace a tensor, on whatever device, by its sum over all processes."""
        if self.are_many:
            with self._explained():
                dist.all_reduce(values, group=self.group)

    def gather(self, values: Tensor) -> Tensor:
        """The tensors of all processes, which have one shape, in the order of ranks: (processes, ...)."""
        if not self.are_many:
            return values[None]
        found = [torch.empty_like(values) for _ in range(self.count)]
        with self._explained():
            dist.all_gather(found, values.contiguous(), group=self.group)
        return torch.stack(found)

    def share_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes what the first one has."""
        if self.are_many:
            for tensor in tensors:
                whole = tensor.detach().contiguous()
                with self._explained():
                    dist.broadcast(whole, 0, group=self.group)
                tensor.detach().copy_(whole)

    def share(self, content: bytes) -> bytes:
        """What the first process has; the others' is passed over."""
        if not self.are_many:
            return content
        size = int(self.sum([len(content) if self.is_first else 0])[0])
        buffer = torch.zeros(size, dtype=torch.uint8)
        if self.is_first and size:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        with self._explained():
            dist.broadcast(buffer, 0, group=self.group)
        return bytes(buffer.numpy())

    def collect(self, content: bytes) -> list[bytes]:
        """What each process has, in the order of ranks; every process gets all of it."""
        if not self.are_many:
            return [content]
        sizes = [int(size) for size in self.gather(torch.tensor([len(content)], dtype=torch.int64)).flatten()]
        padded = torch.frombuffer(bytearray(content.ljust(max(*sizes, 1), b"\0")), dtype=torch.uint8)
        return [bytes(row.numpy())[:size] for row, size in zip(self.gather(padded), sizes, strict=True)]

    def wait(self) -> None:
        """Until all processes are here."""
        self.sum([0.0])

    def together(self, work: Callable[[], Result]) -> Result:
        """Do what every process does for itself. Where it fails in one, it fails in all.

        Raises:
            VedetteError: what the work raised here.
            PeerError: it went well here, and in another process not; says what happened there.
        """
        if not self.are_many:
            return work()
        failed: VedetteError | None = None
        try:
            result = work()
        except VedetteError as error:
            failed = error
        told = self.collect(b"" if failed is None else f"{self.name}: {failed}".encode(errors=PATHS))
        if failed is not None:
            raise failed
        for problem in told:
            if problem:
                raise PeerError(problem.decode(errors=PATHS))
        return result

    def agree(self, facts: dict[str, Any]) -> None:
        """Compare facts, plain values by what they are called, with the first process's.

        Raises:
            PeerError: some process has others; says which and where.
        """
        if not self.are_many:
            return
        told = self.collect(json.dumps({"who": self.name, **facts}, sort_keys=True).encode())
        documents = [json.loads(one) for one in told]
        for other in documents[1:]:
            unlike = [key for key in facts if other[key] != documents[0][key]]
            if unlike:
                key = unlike[0]
                raise PeerError(
                    f"{other['who']} has another {key} ({other[key]!s:.100}) than {documents[0]['who']} "
                    f"({documents[0][key]!s:.100}); all processes must have the same"
                )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Give an operation that another process did not come to that one's reason."""
        try:
            yield
        except RuntimeError as error:  # torch.distributed's errors are kinds of it
            loss = self.lifeline.loss(REASON_S) if self.lifeline is not None else None
            if loss is None:
                lines = str(error).splitlines() or ["no reason given"]
                raise PeerError(f"the processes of this training cannot reach each other: {lines[0]:.300}") from error
            if loss.kind is Kind.INTERRUPTED:
                raise KeyboardInterrupt from error
            raise PeerError(loss.text) from error


ALONE = Peers()
