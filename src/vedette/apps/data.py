"""`vedette data check|convert|split|stats`: labelled pictures judged, converted, parted and shown.

Reads arguments, calls `vedette.learn.data`, prints; the work itself stands there.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.contracts.errors import UsageError

if TYPE_CHECKING:
    from vedette.learn.data.check import CheckResult
    from vedette.learn.data.convert import Conversion
    from vedette.learn.data.ground_truth import ManifestSettings
    from vedette.learn.data.reading import Inspection
    from vedette.learn.data.repair import Change, Repair
    from vedette.learn.data.samples import DataSet

LayoutName = Literal["voc", "darknet", "yolo", "coco", "manifest"]
WrittenLayoutName = Literal["voc", "darknet", "yolo", "coco"]
SHOWN_PER_KIND = 10

Source = Annotated[
    Path,
    Parameter(
        help="Folder or file in VOC, Darknet (.data), YOLO (data.yaml) or COCO format, a Ground Truth output.manifest, "
        "or s3://BUCKET/PREFIX."
    ),
]
Format = Annotated[LayoutName | None, Parameter(name="--format", help="The format of SOURCE, where detection errs.")]
Classes = Annotated[
    str | None, Parameter(help="Class names in order: a file with one a line, or names parted by commas.")
]
SplitFile = Annotated[Path | None, Parameter(help='Splits by name, {"train": [...], "val": [...]}, as `split` writes.')]
Mapping = Annotated[
    list[str],
    Parameter(
        name="--map",
        negative="",
        help="For a manifest: s3://BUCKET/PREFIX=FOLDER, where the pictures below PREFIX lie; as often as need be. "
        "FOLDER may be s3://BUCKET/PREFIX again: then they are fetched.",
    ),
]
Attribute = Annotated[str | None, Parameter(help="For a manifest: the label attribute, where there are several.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document.")]


def check(
    source: Source,
    /,
    *,
    format: Format = None,
    classes: Classes = None,
    split_file: SplitFile = None,
    mapping: Mapping = [],  # noqa: B006 - cyclopts makes a new one for each call
    attribute: Attribute = None,
    repair: Annotated[
        str | None, Parameter(help="Mend label files in place: clip, drop-empty, or both by comma.")
    ] = None,
    json: Json = False,
) -> int:
    """Report every problem of a data set, by file and object.

    Exits with 1 when there are errors. With --repair, label files are changed in place, the originals kept below
    .before-repair-N in the data set's folder; every change is reported, and what is left is judged.
    """
    from vedette.apps.console import ConsoleProgress, print_json
    from vedette.apps.object_storage import refuse_s3
    from vedette.learn.data.check import check_data_set
    from vedette.learn.data.problems import Severity
    from vedette.learn.data.repair import repair_data_set
    from vedette.learn.data.samples import Layout

    wanted = _repairs(repair)
    if wanted:
        refuse_s3(source, "SOURCE of --repair", "`vedette data pull` it, repair that, and `vedette data push` it again")
    manifest = _manifest_settings(mapping, attribute)
    inspection = _inspect(source, format, classes, split_file, manifest)
    if wanted and inspection.data.layout is Layout.MANIFEST:
        raise UsageError("--repair does not write manifests; convert it with `vedette data convert` first")
    changes = repair_data_set(inspection.data, wanted) if wanted else []
    if changes:
        inspection = _inspect(source, format, classes, split_file, manifest)
    with ConsoleProgress() as progress:
        result = check_data_set(inspection, progress)
    if json:
        document = result.as_document()
        if wanted:
            document["repairs"] = [change.as_document() for change in changes]
        print_json(document)
    else:
        _print_repairs(changes, bool(wanted))
        _print_check(result)
    return 1 if result.count(Severity.ERROR) else 0


def convert(  # noqa: PLR0913 - one parameter for each flag
    source: Source,
    dest: Annotated[Path, Parameter(help="Folder to write, or s3://BUCKET/PREFIX; must not exist, or be empty.")],
    /,
    *,
    to: Annotated[WrittenLayoutName, Parameter(help="The format to write.")],
    voc_offset: Annotated[
        Literal["exact", "darknet"],
        Parameter(help="How VOC's 1-based pixels become Darknet's numbers; darknet does as voc_label.py."),
    ] = "exact",
    format: Format = None,
    classes: Classes = None,
    split_file: SplitFile = None,
    mapping: Mapping = [],  # noqa: B006 - cyclopts makes a new one for each call
    attribute: Attribute = None,
    json: Json = False,
) -> None:
    """Convert between VOC, Darknet, YOLO and COCO, and from Ground Truth's output manifests.

    What the target cannot hold is left out and listed, and so is every line of a manifest that cannot be used. Pictures
    are copied, splits go along. DEST appears whole or not at all.
    """
    from vedette.apps.console import ConsoleProgress, print_json, warn
    from vedette.apps.folder_upload import written_folder
    from vedette.learn.data.convert import VocOffset, convert_data_set
    from vedette.learn.data.samples import Layout
    from vedette.storage.address import is_s3_address, parse_address

    inspection = _inspect(source, format, classes, split_file, _manifest_settings(mapping, attribute))
    lines = inspection.problems if inspection.data.layout is Layout.MANIFEST else ()
    for problem in lines:
        warn(f"{problem.file}: {problem.message}")
    with written_folder(dest) as folder, ConsoleProgress() as progress:
        conversion = convert_data_set(inspection, folder, Layout(to), VocOffset(voc_offset), progress)
    if json:
        print_json(conversion.as_document() | {"problems": [problem.as_document() for problem in lines]})
    else:
        _print_conversion(conversion, str(parse_address(dest)) if is_s3_address(dest) else str(dest))


def split(
    source: Source,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for split.json and one list for each split; must be new or empty.")],
    fractions: Annotated[str, Parameter(help="0.8,0.2 (train, val, test), or train=0.7,val=0.2,test=0.1.")] = "0.8,0.2",
    seed: Annotated[int, Parameter(help="The same seed gives the same split.")] = 0,
    format: Format = None,
    classes: Classes = None,
    json: Json = False,
) -> None:
    """Split into train, val and test; seeded, by class, identical pictures together.

    Every command reads the result with --split-file DIR/split.json, or when split.json lies in the data set's folder.
    """
    from dataclasses import replace

    from vedette.apps.console import print_json
    from vedette.apps.object_storage import local_data, refuse_s3
    from vedette.learn.data.folder_publishing import published_folder
    from vedette.learn.data.reading import read_data_set
    from vedette.learn.data.samples import Layout
    from vedette.learn.data.split import parse_fractions, split_data_set
    from vedette.learn.data.split_files import SPLIT_FILE, write_split_file

    refuse_s3(out, "--out")
    shares = parse_fractions(fractions)
    data = read_data_set(local_data(source), Layout(format) if format else None, classes=_class_list(classes))
    splits = split_data_set(data, shares, seed)
    with published_folder(out) as folder:
        write_split_file(folder / SPLIT_FILE, splits)
        for name, members in splits.items():
            (folder / f"{name}.txt").write_text("".join(f"{member}\n" for member in members), encoding="utf-8")
    counted = replace(data, splits=splits)
    if json:
        counts = {name: _count_by_class(counted, name) for name in splits}
        print_json(
            {"splits": {name: list(members) for name, members in splits.items()}, "counts": counts, "seed": seed}
        )
    else:
        _print_split(counted, out)


def stats(
    source: Source,
    /,
    *,
    out: Annotated[Path, Parameter(help="The HTML page to write.")],
    format: Format = None,
    classes: Classes = None,
    split_file: SplitFile = None,
    mapping: Mapping = [],  # noqa: B006 - cyclopts makes a new one for each call
    attribute: Attribute = None,
    json: Json = False,
) -> None:
    """Write a page of charts and example pictures: one file, which loads nothing."""
    from vedette.apps.console import ConsoleProgress, print_json, print_line
    from vedette.apps.object_storage import refuse_s3
    from vedette.learn.data.stats import measure_data_set
    from vedette.learn.data.stats_page import write_stats_page

    refuse_s3(out, "--out")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file, such as {out / 'stats.html'}")
    inspection = _inspect(source, format, classes, split_file, _manifest_settings(mapping, attribute))
    with ConsoleProgress() as progress:
        measured = measure_data_set(inspection.data, progress)
    write_stats_page(measured, out)
    if json:
        print_json(
            {
                "page": str(out),
                "pictures": len(measured.measured),
                "objects": len(measured.class_ids),
                "unusable_objects": measured.unusable,
                "unreadable_pictures": measured.unreadable,
                "classes": {entry.name: entry.objects for entry in measured.classes},
            }
        )
    else:
        print_line(f"{out}: {len(measured.measured)} pictures, {len(measured.class_ids)} objects")


def _inspect(
    source: Path, layout: str | None, classes: str | None, split_file: Path | None, manifest: "ManifestSettings"
) -> "Inspection":
    from vedette.apps.object_storage import local_data
    from vedette.learn.data.reading import inspect_data_set
    from vedette.learn.data.samples import Layout

    return inspect_data_set(
        local_data(source),
        Layout(layout) if layout else None,
        classes=_class_list(classes),
        split_file=split_file,
        manifest=manifest,
    )


def _manifest_settings(mapping: list[str], attribute: str | None) -> "ManifestSettings":
    from vedette.apps.object_storage import local_folder
    from vedette.learn.data.ground_truth import ManifestSettings

    folders = {}
    for text in mapping:
        prefix, _, place = text.rpartition("=")
        if not prefix or not place:
            raise UsageError(f"--map {text}: give PREFIX=FOLDER, such as s3://bucket/photos=photos")
        folder = local_folder(Path(place))
        if not folder.is_dir():
            raise UsageError(f"--map {text}: there is no folder {place}")
        folders[prefix] = folder
    return ManifestSettings(folders, attribute)


def _class_list(classes: str | None) -> tuple[str, ...] | None:
    """A names file where there is one of that name, else names parted by commas."""
    from vedette.learn.data.label_text import check_names, read_names

    if classes is None:
        return None
    if "," not in classes and (Path(classes).is_file() or "/" in classes):
        return read_names(Path(classes))
    return check_names([name.strip() for name in classes.split(",")], "--classes")


def _repairs(text: str | None) -> "list[Repair]":
    from vedette.learn.data.repair import Repair

    try:
        return [Repair(word.strip()) for word in text.split(",")] if text is not None else []
    except ValueError as error:
        known = ", ".join(repair.value for repair in Repair)
        raise UsageError(f"--repair {text}: the repairs are {known}, parted by commas") from error


def _print_repairs(changes: "list[Change]", asked: bool) -> None:
    from vedette.apps.console import print_line

    if asked and not changes:
        print_line("repairs: nothing to do")
    for change in changes:
        before = ", ".join(f"{value:g}" for value in change.before_xyxy_px)
        after = ", ".join(f"{value:g}" for value in change.after_xyxy_px) if change.after_xyxy_px else "dropped"
        print_line(f"{change.file}: object {change.object_index} ({change.class_name}): ({before}) -> {after}")
    if changes:
        print_line(f"{len(changes)} objects repaired; the original files are kept in .before-repair-N\n")


def _print_check(result: "CheckResult") -> None:
    from vedette.apps.console import print_line
    from vedette.learn.data.problems import Severity

    by_kind: dict[str, int] = {}
    for problem in result.problems:
        kind = problem.kind.value
        by_kind[kind] = by_kind.get(kind, 0) + 1
        if by_kind[kind] <= SHOWN_PER_KIND:
            print_line(f"{problem.severity.value:7} {kind}: {problem.file}: {problem.message}")
    for kind, count in by_kind.items():
        if count > SHOWN_PER_KIND:
            print_line(f"        {kind}: {count - SHOWN_PER_KIND} more; --json lists all")
    objects = sum(len(sample.objects) for sample in result.data.samples)
    figures = [f"{result.count(severity)} {severity.value}s" for severity in Severity]
    print_line(
        f"{result.data.layout.value}: {len(result.data.samples)} pictures, {objects} objects, "
        f"{len(result.data.classes)} classes: {', '.join(figures)}"
    )


def _print_conversion(conversion: "Conversion", dest: str) -> None:
    from vedette.apps.console import print_line

    splits = ", ".join(f"{name} {count}" for name, count in conversion.splits.items())
    tail = f" ({splits})" if splits else ""
    print_line(f"{dest}: {conversion.pictures} pictures{tail}, {conversion.objects} objects")
    for what, entry in conversion.left_out.items():
        more = ", ..." if entry.count > len(entry.examples) else ""
        print_line(f"left out: {entry.count} {what}: {'; '.join(entry.examples)}{more}")


def _print_split(data: "DataSet", out: Path) -> None:
    from vedette.apps.console import print_line, print_table

    counts = {name: _count_by_class(data, name) for name in data.splits}
    columns = ["split", "pictures", *data.classes]
    rows = [
        [name, str(len(data.splits[name])), *(str(counts[name]["objects"][label]) for label in data.classes)]
        for name in data.splits
    ]
    print_table("objects by class", columns, rows)
    print_line(f"{out / 'split.json'}: pass it with --split-file")


def _count_by_class(data: "DataSet", split_name: str) -> dict[str, dict[str, int]]:
    samples = data.subset(split_name).samples
    names = [item.class_name for sample in samples for item in sample.objects]
    return {"objects": {label: names.count(label) for label in data.classes}}
