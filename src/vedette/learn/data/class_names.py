"""Which class of a data set is which class of a model, by name: exactly, by spelling, by alias, or by the user's map.

Never by position and never silently: a class of the data without a counterpart is an error that lists all of them. The
alias table is Darknet's coco.names (which kept PASCAL VOC's words) against COCO's own; documented in
docs/reference/class-aliases.md.
"""

from collections.abc import Mapping, Sequence

from vedette.learn.data.errors import ClassMatchError

# (Darknet's coco.names, COCO's categories): the six that differ
ALIASES: tuple[tuple[str, str], ...] = (
    ("motorbike", "motorcycle"),
    ("aeroplane", "airplane"),
    ("sofa", "couch"),
    ("pottedplant", "potted plant"),
    ("diningtable", "dining table"),
    ("tvmonitor", "tv"),
)


def match_classes(model: Sequence[str], data: Sequence[str], extra: Mapping[str, str]) -> dict[int, int]:
    """Data class index -> model class index, for every class of the data.

    `extra` maps names of the data to names of the model (`--class-map`) and goes before everything else.

    Raises:
        ClassMatchError: listing every class of the data, or of the map, that the model does not know.
    """
    by_exact = {name: index for index, name in enumerate(model)}
    by_spelling: dict[str, int] = {}
    for index, name in enumerate(model):
        by_spelling.setdefault(spelling(name), index)
    by_alias = {canonical(name): index for name, index in by_spelling.items()}
    extra_spelled = {spelling(name): target for name, target in extra.items()}
    matched: dict[int, int] = {}
    unmatched: list[str] = []
    for index, name in enumerate(data):
        wanted = extra.get(name, extra_spelled.get(spelling(name), name))
        found = by_exact.get(wanted, by_spelling.get(spelling(wanted), by_alias.get(canonical(spelling(wanted)))))
        if found is None:
            unmatched.append(name if wanted == name else f"{name} (mapped to {wanted})")
        else:
            matched[index] = found
    if unmatched:
        raise ClassMatchError(
            f"the model does not know {len(unmatched)} of the data's {len(data)} classes: {', '.join(unmatched)}. "
            f"The model knows: {', '.join(model)}. "
            "Say which is which with --class-map FILE, one `data name: model name` a line"
        )
    return matched


def spelling(name: str) -> str:
    """A name without case, spaces, underscores and hyphens."""
    return "".join(sign for sign in name.casefold() if sign not in " \t_-")


def canonical(spelled: str) -> str:
    """COCO's spelling of a name that has an alias, else the name itself."""
    return _CANONICAL.get(spelled, spelled)


_CANONICAL = {spelling(darknet): spelling(coco) for darknet, coco in ALIASES}
