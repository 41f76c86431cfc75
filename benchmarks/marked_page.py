"""Puts a generated part into a page of documentation, between two comments that stay."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def fill(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what lies between the lines `begin` and `end`.

    Raises:
        ValueError: the page has not both of them.
    """
    before, opened, rest = page.read_text(encoding="utf-8").partition(f"{begin}\n")
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"{page} has no '{begin}' with '{end}' after it")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
