"""Every mistake of a pipeline, with its path, in one message: `cameras[2].lines[0].end: give a number of pixels ...`.

pydantic stops at a model's own fields before it looks at the model as a whole; the names used twice are therefore
looked for here too, in what was written, so that they are not held back until the rest is right. No value is repeated
but names: a value may be a password that strayed.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vedette.contracts.errors import InputError
from vedette.contracts.pipeline import (
    Camera,
    Clips,
    Detect,
    FileTarget,
    KafkaTarget,
    Line,
    MqttTarget,
    Pipeline,
    Publish,
    Reconnect,
    Show,
    Tls,
    Zone,
)

_KEYS: dict[str, type[BaseModel]] = {
    "cameras": Camera,
    "detect": Detect,
    "reconnect": Reconnect,
    "lines": Line,
    "zones": Zone,
    "show": Show,
    "publish": Publish,
    "clips": Clips,
    "tls": Tls,
}
_POINT_KEYS = {"start", "end", "polygon"}
_POINT_SENTENCE = "write a point as [x, y], each a number of source pixels or per cent as '40%'"
_TOPIC_SENTENCE = "a topic to publish to has no '#' and no '+'"
_NAME_SENTENCE = "must be letters, digits, '.', '_' and '-', beginning with a letter or digit"
_FPS_SENTENCE = "give a number above 0, at most 1000, or auto"
_TARGET_SENTENCE = (
    "needs 'kind: file' with a 'path', 'kind: mqtt' with a 'host' and a 'topic', or 'kind: kafka' with 'brokers' and a "
    "'topic'"
)
_TARGETS: dict[str, type[BaseModel]] = {"mqtt": MqttTarget, "kafka": KafkaTarget}
_SENTENCES = {
    "missing": "is missing",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "union_tag_not_found": _TARGET_SENTENCE,
    "union_tag_invalid": _TARGET_SENTENCE,
}


class PipelineError(InputError):
    """A pipeline cannot be used as it is written; the message lists every mistake with its path."""

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
        super().__init__("\n  ".join([f"{source}: {count}", *mistakes]))


def check_pipeline(document: Any, source: str) -> Pipeline:
    """The pipeline that a parsed document says.

    Raises:
        PipelineError: lists every mistake.
    """
    if not isinstance(document, dict):
        raise PipelineError(source, ["the whole: write 'bundle: ...' and 'cameras: ...'"])
    twice = list(_names_used_twice(document))
    try:
        return Pipeline.model_validate(document)
    except ValidationError as error:
        mistakes: dict[str, str] = {}
        for detail in error.errors(include_url=False, include_input=False):
            if not detail["loc"] and twice:
                continue  # the model's own word on the names used twice
            path, value = _find(detail["loc"], document, keep_last=detail["type"] == "missing")
            if detail["type"] == "too_short" and len(value) >= detail.get("ctx", {})["min_length"]:
                continue  # items that are wrong do not count for pydantic; they are reported themselves
            mistakes.setdefault(path, f"{path or 'the whole'}: {_say(detail, path, document)}")
        raise PipelineError(source, [*mistakes.values(), *twice]) from error


def _find(location: tuple[int | str, ...], document: Any, keep_last: bool) -> tuple[str, Any]:
    """`cameras[2].url` and what is written there.

    pydantic's names for the branches of a union are no part of what the user wrote; a key that is missing is.
    """
    path, here = "", document
    for number, part in enumerate(location):
        if isinstance(part, int) and isinstance(here, (list, tuple)) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
        elif isinstance(part, str) and isinstance(here, Mapping) and part in here:
            path, here = f"{path}.{part}".lstrip("."), here[part]
        elif keep_last and number == len(location) - 1:
            path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}".lstrip(".")
    return path, here


def _say(detail: ErrorDetails, path: str, document: Any) -> str:
    """A sentence for a person: what is wrong there and what to write instead."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{_suggestion(path, document)}"
    if set(path.replace("[", ".").split(".")) & _POINT_KEYS:
        return _POINT_SENTENCE + ("; a polygon needs at least 3 of them" if "polygon" in path else "")
    if path == "detect.fps":
        return _FPS_SENTENCE
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind in {"enum", "literal_error"}:
        return f"must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        return _TOPIC_SENTENCE if path.endswith("topic") else _NAME_SENTENCE
    message = detail["msg"]
    return _SENTENCES.get(kind, message[0].lower() + message[1:])


def _suggestion(path: str, document: Any) -> str:
    """`; did you mean 'polygon'?`, or the keys that are known there."""
    *above, key = path.split(".")
    known = _known_keys(above, document)
    near = get_close_matches(key, known, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(known)}"


def _known_keys(above: Sequence[str], document: Any) -> list[str]:
    if not above:
        return list(Pipeline.model_fields)
    name = above[-1].partition("[")[0]
    if name == "events":
        target = document["events"][int(above[-1].partition("[")[2].rstrip("]"))]
        return list(_TARGETS.get(target.get("kind"), FileTarget).model_fields)
    return list(_KEYS[name].model_fields)


def _names_used_twice(document: Mapping[str, Any]) -> Iterator[str]:
    """Camera names, and names of lines and zones that meet at one camera."""
    seen: dict[str, str] = {}
    cameras = list(_named(document, "cameras", ""))
    for path, name in cameras:
        if name in seen:
            yield f"{path}: '{name}' is the name of {seen[name].removesuffix('.name')} already"
        seen.setdefault(name, path)
    shared = [*_named(document, "lines", ""), *_named(document, "zones", "")]
    told: set[str] = set()
    listed = document.get("cameras")
    for number, camera in enumerate(listed if isinstance(listed, list) else []):
        own: list[tuple[str, str]] = []
        if isinstance(camera, Mapping):
            above = f"cameras[{number}]."
            own = [*_named(camera, "lines", above), *_named(camera, "zones", above)]
        first: dict[str, str] = {}
        for path, name in [*shared, *own]:
            if name in first and path not in told:
                told.add(path)
                yield f"{path}: '{name}' is the name of {first[name].removesuffix('.name')} already"
            first.setdefault(name, path)


def _named(document: Mapping[str, Any], key: str, above: str) -> Iterator[tuple[str, str]]:
    """(path, name) of every item of a list that has a name."""
    items = document.get(key)
    for number, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, Mapping) and isinstance(item.get("name"), str):
            yield f"{above}{key}[{number}].name", item["name"]
