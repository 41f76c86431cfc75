"""Pre-labels any number of pictures into a VOC data set: resumable, whole files only, nobody's work overwritten.

A picture is copied before its annotation is written, both by rename, so what has an annotation is complete: a run that
was killed goes on where it was. One run at a time works on a folder. Detecting is `learn.predicting`'s.
"""

import filecmp
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vedette.contracts.errors import UsageError
from vedette.contracts.ports import Progress
from vedette.learn.data.errors import DataError, DestinationError
from vedette.learn.data.folder_publishing import locked_folder
from vedette.learn.data.label_text import read_names
from vedette.learn.data.locating import PICTURE_FOLDERS, child_folder, files_below, is_picture, plain_path, stem_below
from vedette.learn.data.voc import ANNOTATION_FOLDERS
from vedette.learn.data.writers import Placed
from vedette.learn.labelling.prelabels import Maker, State, objects_of, prelabel, state_of
from vedette.learn.predicting.outcomes import Failed, Outcome

CLASS_LIST = "classes.txt"
PART = ".prelabel-part"


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to label; `place` is where it belongs in the data set, often where it is already."""

    name: str
    picture: Path
    place: Path
    annotation: Path


@dataclass(slots=True)
class Plan:
    """What is to be done, and what is not and why."""

    tasks: list[Task] = field(default_factory=list)
    done_before: int = 0
    by_hand: int = 0
    failures: dict[Path, str] = field(default_factory=dict)


@dataclass(slots=True)
class Labelled:
    """What was done."""

    pictures: int = 0
    objects: int = 0
    failures: dict[Path, str] = field(default_factory=dict)


def plan_labelling(source: Path, out: Path, maker: Maker, overwrite: bool) -> Plan:
    """Which pictures below `source` are to be labelled; `overwrite` gives up what people have labelled.

    Raises:
        DataError: there is no picture.
        UsageError: copies of the pictures would come to lie among the pictures.
    """
    source, out = plain_path(source), plain_path(out)
    pictures = [source] if source.is_file() else [path for path in files_below(source) if is_picture(path)]
    if not pictures:
        what = "holds no picture" if source.is_dir() else "does not exist"
        raise DataError(f"{source} {what}; give a picture, or a folder with pictures in it or below it")
    place = (child_folder(out, PICTURE_FOLDERS) if out.is_dir() else None) or out / "JPEGImages"
    annotations = (child_folder(out, ANNOTATION_FOLDERS) if out.is_dir() else None) or out / "Annotations"
    plan = Plan()
    taken: dict[str, Path] = {}
    for picture in pictures:
        in_place = place in picture.parents
        if not in_place and out.is_relative_to(source):
            raise UsageError(
                f"--out {out} lies in {source}, whose pictures would be copied into it; give another folder"
            )
        name = stem_below(place, picture) if in_place else _name(source, picture)
        other = taken.setdefault(name, picture)
        if other != picture:
            plan.failures[picture] = f"{picture}: {other.name} has the same name but for its ending; rename one of them"
        elif not name.isprintable():
            plan.failures[picture] = f"{str(picture)!a}: its name holds control characters; rename it"
        else:
            task = Task(name, picture, place / (name + picture.suffix), annotations / f"{name}.xml")
            _sort(task, plan, maker, overwrite)
    return plan


def _name(source: Path, picture: Path) -> str:
    if picture == source:
        return picture.stem
    parts = PurePosixPath(stem_below(source, picture)).parts
    return "/".join(parts[1:] if len(parts) > 1 and parts[0].lower() in PICTURE_FOLDERS else parts)


def _sort(task: Task, plan: Plan, maker: Maker, overwrite: bool) -> None:
    try:
        size_bytes = task.picture.stat().st_size
    except OSError as error:
        plan.failures[task.picture] = f"{task.picture} cannot be read: {error.strerror or error}"
        return
    state = state_of(task.annotation, maker, size_bytes)
    if state is State.DONE and task.place.is_file():
        plan.done_before += 1
    elif state is State.BY_HAND and not overwrite:
        plan.by_hand += 1
    else:
        plan.tasks.append(task)


@contextmanager
def held_folder(out: Path) -> Iterator[Path]:
    """Make the folder if need be and keep other runs from it; what a killed run left half written is removed.

    Raises:
        DestinationError: it cannot be written, or another run is writing it.
    """
    new = not out.exists()
    try:
        with locked_folder(out, out):
            for leftover in out.rglob(f".*{PART}"):
                leftover.unlink(missing_ok=True)
            yield out
    finally:
        if new:
            with suppress(OSError):  # it holds what was written
                out.rmdir()


def settle_classes(out: Path, classes: Sequence[str]) -> None:
    """Write classes.txt into a new data set; in an old one, make sure that it knows the classes.

    Raises:
        UsageError: the data set has a class list without some of them.
        DestinationError: it cannot be written.
    """
    path = out / CLASS_LIST
    if path.is_file():
        unknown = [name for name in classes if name not in read_names(path)]
        if unknown:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise UsageError(
                f"{path} does not list {', '.join(unknown[:5])}{more}; add them, or name with --classes what to label"
            )
        return
    annotations = child_folder(out, ANNOTATION_FOLDERS)
    if annotations is None or not any(files_below(annotations)):
        _write_whole(path, lambda part: part.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8"))


def write_prelabels(
    outcomes: Iterable[tuple[int, Outcome]],
    tasks: Sequence[Task],
    maker: Maker,
    classes: Collection[str],
    progress: Progress,
) -> Labelled:
    """Write what was found as it comes; a picture without a result is told of and left out.

    Raises:
        DestinationError: the data set cannot be written.
    """
    done = Labelled()
    if tasks:
        progress.start("labelling", len(tasks), "pictures")
    for number, outcome in outcomes:
        task = tasks[number]
        reason = outcome.reason if isinstance(outcome, Failed) else _place(task)
        if reason or isinstance(outcome, Failed):
            done.failures[task.picture] = reason
            progress.say(f"vedette: {reason}")
        else:
            objects = objects_of(outcome.detections, outcome.width_px, outcome.height_px, classes)
            sample = Placed(task.name, task.place.name, outcome.width_px, outcome.height_px, objects)
            content = prelabel(sample, maker, task.place.stat().st_size)
            _write_whole(task.annotation, lambda part, content=content: part.write_bytes(content))  # type: ignore[misc]
            done.pictures += 1
            done.objects += len(objects)
        progress.advance()
    return done


def _place(task: Task) -> str:
    """Copy the picture into the data set, unless it is there; why that cannot be, or nothing."""
    if task.place == task.picture:
        return ""
    if task.place.exists():
        try:
            same = filecmp.cmp(task.picture, task.place, shallow=False)
        except OSError as error:
            return f"{error.filename or task.picture} cannot be read: {error.strerror or error}"
        return "" if same else f"{task.picture}: {task.place} is another picture; rename one of them"
    _write_whole(task.place, lambda part: shutil.copyfile(task.picture, part))
    return ""


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the place and rename. Only one run is here: one temporary name serves, never too long."""
    part = path.with_name(f".vedette{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DestinationError(f"{path} cannot be written: {error.strerror or error}") from error
