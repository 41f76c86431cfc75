"""Darknet's .cfg grammar, as AlexeyAB's parser reads it: sections of options with their line numbers, nothing more.

Every blank is deleted, also inside values; `#` and `;` open a comment only at the start of a line; the first of
duplicate keys wins; numbers are read as C's atoi and atof read them (`255 # x` is 255). One thing is stricter on
purpose: a value that does not start with a number is refused where a number is needed, while Darknet takes it for 0.
Strict mode (`strict`) refuses what the hank-ai fork refuses. What the sections mean is `plan`'s matter.
Source: AlexeyAB/darknet parser.c, option_list.c.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from vedette.learn.darknet.errors import CfgError
from vedette.learn.darknet.strict import read_strictly

MAX_CFG_BYTES = 1 << 20  # the largest published cfg has 0.1 MB; the worst of this size is refused within a second
MAX_WARNINGS = 1000  # more ignored lines than that: no cfg
MAX_SECTIONS = 4096  # the largest published net has about 400 layers
MAX_INTEGER = 2**31 - 1  # Darknet's int

_BLANKS = str.maketrans("", "", " \t\r")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Option:
    """One line of a section; `value` is None when the line has no `=`, which Darknet takes for "not given"."""

    key: str
    value: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """One `[name]` and its options, in order; getters convert as Darknet does and refuse with the line."""

    name: str
    line: int
    source: str
    options: tuple[Option, ...]

    def find(self, key: str) -> Option | None:
        """The first option of that key: later duplicates are ignored, as in Darknet."""
        return next((option for option in self.options if option.key == key), None)

    def line_of(self, key: str) -> int:
        """Where an option stands, or where its section begins when it is not given."""
        option = self.find(key)
        return self.line if option is None else option.line

    def text(self, key: str, default: str) -> str:
        """An option as written, without blanks."""
        option = self.find(key)
        return default if option is None or option.value is None else option.value

    def integer(self, key: str, default: int, *, minimum: int = 0, maximum: int = MAX_INTEGER) -> int:
        """An option as C's atoi reads it.

        Raises:
            CfgError: no number, or outside minimum..maximum.
        """
        option = self.find(key)
        value = default if option is None or option.value is None else self._atoi(option, option.value)
        if not minimum <= value <= maximum:
            raise self.error(f"{key}={value} must lie between {minimum} and {maximum}", key)
        return value

    def number(self, key: str, default: float) -> float:
        """An option as C's atof reads it.

        Raises:
            CfgError: no number, or not a finite one.
        """
        option = self.find(key)
        return default if option is None or option.value is None else self._atof(option, option.value)

    def integers(self, key: str) -> tuple[int, ...] | None:
        """A comma-separated list of integers; it ends at a `#`. None when not given.

        Raises:
            CfgError: an item is no integer.
        """
        option = self.find(key)
        return None if option is None else tuple(self._atoi(option, item) for item in _items(option))

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """A comma-separated list of numbers; it ends at a `#`. None when not given.

        Raises:
            CfgError: an item is no finite number.
        """
        option = self.find(key)
        return None if option is None else tuple(self._atof(option, item) for item in _items(option))

    def error(self, message: str, key: str | None = None) -> CfgError:
        """An error that names the file, the line (of an option, if given) and the section."""
        line = self.line if key is None else self.line_of(key)
        return CfgError(f"{self.source}, line {line}, [{_shown(self.name)}]: {message}")

    def _atoi(self, option: Option, text: str) -> int:
        match = _INTEGER.match(text)
        if match is None:
            raise self.error(f"{option.key}={_shown(option.value or '')} needs a whole number", option.key)
        digits = match.group()
        if len(digits) > 11 or abs(int(digits)) > MAX_INTEGER:
            raise self.error(
                f"{option.key}={_shown(digits)} is too large; Darknet's integers end at 2147483647", option.key
            )
        return int(digits)

    def _atof(self, option: Option, text: str) -> float:
        match = _NUMBER.match(text)
        value = float("nan") if match is None else float(match.group())
        if not abs(value) < float("inf"):
            raise self.error(f"{option.key}={_shown(option.value or '')} needs a finite number", option.key)
        return value


@dataclass(frozen=True, slots=True)
class Cfg:
    """A parsed .cfg: the [net] section, the layers after it, and what Darknet itself would warn about."""

    source: str
    net: Section
    layers: tuple[Section, ...]
    warnings: tuple[str, ...] = ()


def parse_cfg(text: str, source: str = "cfg", strict: bool = False) -> Cfg:
    """Split a .cfg into sections; `strict`: by the rules of the hank-ai fork (`learn.darknet.strict`).

    Raises:
        CfgError: it does not begin with [net] or [network], has no layer, or is no cfg at all; strict: a key twice in
            a section, an unknown key or section, a word where a number belongs.
    """
    if "\0" in text:
        raise CfgError(f"{source}: this is a binary file, not a Darknet .cfg (are cfg and weights swapped?)")
    if strict:
        text, offence = read_strictly(text)
        if offence is not None:
            raise CfgError(f"{source}, line {offence.line}, [{_shown(offence.section)}]: {offence.message}")
    sections: list[tuple[str, int, list[Option]]] = []
    warnings: list[str] = []
    for line, raw in enumerate(text.split("\n"), start=1):
        stripped = raw.translate(_BLANKS)
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[":
            sections.append((stripped[1:-1] if stripped.endswith("]") else stripped[1:], line, []))
            if len(sections) > MAX_SECTIONS:
                raise CfgError(f"{source}, line {line}: more than {MAX_SECTIONS} sections")
        elif not sections:
            raise CfgError(f"{source}, line {line}: '{_shown(stripped)}' stands before the first section, [net]")
        else:
            option, warning = _option(stripped, line)
            if option is not None:
                sections[-1][2].append(option)
            if warning is not None:
                warnings.append(f"{source}, line {line}: {warning}")
                if len(warnings) > MAX_WARNINGS:
                    raise CfgError(f"{source}, line {line}: more than {MAX_WARNINGS} lines that are no options; no cfg")
    return _assemble(source, [Section(n, at, source, tuple(options)) for n, at, options in sections], tuple(warnings))


def read_cfg(path: Path, strict: bool = False) -> Cfg:
    """Read and split a .cfg file, as `parse_cfg` does; messages name it by its path.

    Raises:
        CfgError: it cannot be read, is larger than 1 MiB, or `parse_cfg` refuses it.
    """
    try:
        if not path.is_file():
            raise CfgError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
        with path.open("rb") as file:
            data = file.read(MAX_CFG_BYTES + 1)
    except OSError as error:
        raise CfgError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_CFG_BYTES:
        raise CfgError(f"{path}: larger than {MAX_CFG_BYTES >> 20} MiB; this is no Darknet .cfg")
    text = data.decode("utf-8-sig", errors="replace")  # only comments may hold other letters
    return parse_cfg(text, str(path), strict)


def _option(stripped: str, line: int) -> tuple[Option | None, str | None]:
    key, equals, value = stripped.partition("=")
    if not equals:
        return Option(key, None, line), f"'{_shown(stripped)}' has no '=' and is ignored"
    if not value:
        return None, f"'{_shown(stripped)}' has no value and is ignored"
    return Option(key, value, line), None


def _assemble(source: str, sections: list[Section], warnings: tuple[str, ...]) -> Cfg:
    if not sections:
        raise CfgError(f"{source}: no section at all; a Darknet .cfg begins with [net]")
    if sections[0].name not in {"net", "network"}:
        raise sections[0].error("the first section must be [net] or [network]")
    if len(sections) == 1:
        raise sections[0].error("no layer follows")
    return Cfg(source, sections[0], tuple(sections[1:]), warnings)


def _items(option: Option) -> list[str]:
    return (option.value or "").partition("#")[0].split(",")


def _shown(text: str) -> str:
    """A quotation short enough for a message, printable whatever the file holds."""
    shortened = text if len(text) <= 40 else text[:37] + "..."
    return shortened.encode("unicode_escape").decode("ascii")
