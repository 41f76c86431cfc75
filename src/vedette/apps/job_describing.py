"""A training job in words and as JSON: what `vedette jobs` and `vedette train --on sagemaker` print of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.learn.sagemaker.artefact import Unpacked
    from vedette.learn.sagemaker.job_service import JobState


def check_price(price_per_hour: float | None) -> None:
    """Refuse what is no price.

    Raises:
        UsageError: it is none.
    """
    if price_per_hour is not None and not 0 <= price_per_hour < 1e6:
        raise UsageError(f"--price-per-hour {price_per_hour}: give what one machine costs in an hour, such as 1.41")


def state_lines(state: JobState) -> list[str]:
    """How it stands, and how it came to that."""
    machines = f"{state.instances} x {state.instance}{' (spot)' if state.spot else ''}"
    lines = [f"{state.name}: {state.status} ({state.secondary_status}), {machines}"]
    for status, start, message in state.transitions:
        lines.append(f"  {local_time(start)}  {status}{f': {message}' if message else ''}")
    if state.failure_reason:
        lines.append(f"failed: {state.failure_reason}")
    return lines + [f"  {name} {value:.6g}" for name, value in state.metrics.items()]


def bill_lines(state: JobState, price_per_hour: float | None) -> list[str]:
    """Time trained and billed, what spot machines saved, and the cost if a price is given."""
    lines = []
    if state.training_s is not None and state.billable_s is not None:
        saved = state.spot_savings_percent
        lines.append(
            f"time:   trained {state.training_s} s, billed {state.billable_s} s"
            f"{'' if saved is None else f', {saved:.0f} % saved by spot machines'}"
        )
    cost = None if price_per_hour is None else state.cost(price_per_hour)
    return lines if cost is None else [*lines, f"cost:   {cost:.2f}, at the price given"]


def state_document(state: JobState, price_per_hour: float | None) -> dict[str, object]:
    """The same for programs."""
    return {
        "name": state.name,
        "arn": state.arn,
        "status": state.status,
        "secondary_status": state.secondary_status,
        "created": iso(state.created),
        "started": iso(state.started),
        "ended": iso(state.ended),
        "failure_reason": state.failure_reason,
        "artefact": state.artefact,
        "instance": state.instance,
        "instances": state.instances,
        "spot": state.spot,
        "training_s": state.training_s,
        "billable_s": state.billable_s,
        "spot_savings_percent": state.spot_savings_percent,
        "cost": None if price_per_hour is None else state.cost(price_per_hour),
        "metrics": dict(state.metrics),
        "transitions": [
            {"status": status, "start": iso(start), "message": message} for status, start, message in state.transitions
        ],
    }


def run_lines(run: Path, unpacked: Unpacked, *, resumable: bool = False) -> list[str]:
    """What was fetched, and what to do with it."""
    lines = [f"run:    {run} ({unpacked.files} files, {unpacked.size_bytes / 1e6:.1f} MB)"]
    if resumable and checkpoints_in(run):
        lines.append(f"resume: vedette train --out {run} --resume --data DATA")
    if unpacked.has_bundle:
        return [*lines, f"bundle: {run / 'bundle'}", f"next:   vedette detect {run / 'bundle'} PICTURES"]
    return [*lines, f"next:   vedette pack --run {run} --out BUNDLE"]


def run_document(run: Path, unpacked: Unpacked) -> dict[str, object]:
    """The same for programs."""
    return {
        "run": str(run),
        "files": unpacked.files,
        "size_bytes": unpacked.size_bytes,
        "left_out": list(unpacked.left_out),
        "checkpoints": checkpoints_in(run),
        "bundle": str(run / "bundle") if unpacked.has_bundle else None,
    }


def checkpoints_in(run: Path) -> int:
    """How many there are to resume from."""
    folder = run / "checkpoints"
    return sum(path.is_dir() for path in folder.iterdir()) if folder.is_dir() else 0


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def local_time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
