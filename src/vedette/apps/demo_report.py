"""The page that a demo ends with: one self-contained HTML file, pictures inside, no request to anywhere."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vedette.apps.whole_files import write_whole


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline figure; `mood` is "good", "bad" or nothing."""

    label: str
    value: str
    note: str = ""
    mood: str = ""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of text cells, with an optional row of totals."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures with captions; `pictures` maps a caption to JPEG or PNG bytes."""

    title: str
    pictures: Mapping[str, bytes]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Everything on the page, from top to bottom."""

    title: str
    subtitle: str
    tiles: Sequence[Tile] = ()
    tables: Sequence[ReportTable] = ()
    galleries: Sequence[Gallery] = field(default_factory=tuple)


def write_demo_report(report: DemoReport, path: Path) -> None:
    """Write the page, whole or not at all."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("vedette.apps", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    galleries = [
        {
            "title": gallery.title,
            "wide": gallery.wide,
            "pictures": [{"caption": c, "source": _data_url(data)} for c, data in gallery.pictures.items()],
        }
        for gallery in report.galleries
        if gallery.pictures
    ]
    page = environment.get_template("demo_report.html").render(
        title=report.title, subtitle=report.subtitle, tiles=report.tiles, tables=report.tables, galleries=galleries
    )
    write_whole(path, page.encode())


def _data_url(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
