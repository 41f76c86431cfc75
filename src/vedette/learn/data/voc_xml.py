"""One PASCAL VOC annotation, parsed as hostile input: no DTD, no entities, capped size, depth and number of objects.

Only the elements of the VOC 2007 development kit that Vedette uses are kept, and the <score> that `vedette label` adds
to an object; no tree is built, so memory stays flat.
Coordinates come out as the file states them: 1-based and inclusive.
"""

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from vedette.learn.data.errors import DataError
from vedette.learn.data.label_text import read_bytes

MAX_BYTES = 10_000_000
MAX_DEPTH = 16  # object/part/bndbox/xmin is 5
MAX_OBJECTS = 100_000
MAX_ELEMENTS = 400_000  # a VOC object has about ten
MAX_TEXT = 8_000
CORNERS = ("xmin", "ymin", "xmax", "ymax")
TOP_LEAVES = frozenset({("filename",), ("size", "width"), ("size", "height")})
OBJECT_LEAVES = frozenset(
    {("name",), ("difficult",), ("truncated",), ("score",), *(("bndbox", corner) for corner in CORNERS)}
)  # parts of an object (head, hand) have boxes too, one level deeper


@dataclass(slots=True)
class VocAnnotation:
    """Texts as they stand in the file, by the path of their element ("size/width"); objects in file order."""

    texts: dict[str, str] = field(default_factory=dict)
    objects: list[dict[str, str]] = field(default_factory=list)


class _Limit(Exception):  # noqa: N818  (never leaves this module)
    """One of the caps is passed."""


class _Collector:
    """The parser's target: keeps wanted texts, counts everything."""

    def __init__(self) -> None:
        self.found = VocAnnotation()
        self._path: list[str] = []
        self._elements = 0
        self._wanted: dict[str, str] | None = None
        self._pieces: list[str] = []
        self._length = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        self._path.append(tag)
        self._wanted = None
        if len(self._path) == 1 and tag != "annotation":
            raise _Limit(f"its root element is <{tag[:40]}>, not <annotation>")
        if len(self._path) > MAX_DEPTH:
            raise _Limit(f"elements are nested deeper than {MAX_DEPTH}")
        if self._elements > MAX_ELEMENTS:
            raise _Limit(f"it has more than {MAX_ELEMENTS} elements")
        if self._path[1:] == ["object"]:
            if len(self.found.objects) >= MAX_OBJECTS:
                raise _Limit(f"it has more than {MAX_OBJECTS} objects")
            self.found.objects.append({})
        elif self._path[1:2] == ["object"] and tuple(self._path[2:]) in OBJECT_LEAVES:
            self._begin(self.found.objects[-1])
        elif tuple(self._path[1:]) in TOP_LEAVES:
            self._begin(self.found.texts)

    def _begin(self, target: dict[str, str]) -> None:
        self._wanted, self._pieces, self._length = target, [], 0

    def data(self, text: str) -> None:
        if self._wanted is None:
            return
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise _Limit(f"a text is longer than {MAX_TEXT} characters")
        self._pieces.append(text)

    def end(self, tag: str) -> None:
        if self._wanted is not None:
            inside_object = self._path[1] == "object"
            key = "/".join(self._path[2:] if inside_object else self._path[1:])
            self._wanted.setdefault(key, "".join(self._pieces).strip())  # the first of two counts
            self._wanted = None
        self._path.pop()

    def close(self) -> VocAnnotation:
        return self.found


def parse_annotation(path: Path) -> VocAnnotation:
    """Parse one annotation file.

    Raises:
        DataError: unreadable, not XML, with a DTD or an entity, past a cap, or no <annotation>.
    """
    content = read_bytes(path, MAX_BYTES)
    collector = _Collector()
    parser = DefusedXMLParser(target=collector, forbid_dtd=True)
    try:
        parser.feed(content)
        parser.close()
    except DefusedXmlException as error:
        raise DataError(f"{path} is refused: it declares a DTD or an entity, which no label file needs") from error
    except _Limit as error:
        raise DataError(f"{path} is refused: {error}") from error
    except (ParseError, ValueError, LookupError) as error:  # unknown encodings raise the latter two
        raise DataError(f"{path} is no well-formed XML: {error}") from error
    return collector.found
