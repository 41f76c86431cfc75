"""Lines and zones into the text of a pipeline file, comments and all else kept; or a whole pipeline as a new file.

The text is changed by ruamel.yaml, which keeps comments, order and quotes; what comes out is read again and refused
unless it says exactly what was wanted, so that a file written in a way that cannot be changed is never spoilt.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import yaml

from vedette.apps.pipeline_errors import PipelineError
from vedette.apps.pipeline_file import parse_pipeline
from vedette.contracts.camera_url import MASK, hide_query_secrets
from vedette.contracts.pipeline import Line, Pipeline, Zone
from vedette.edge.live.errors import RulesError

_HEAD = "# A pipeline of Vedette, as it ran. Relative paths are relative to this file's folder.\n"


def text_with_rules(text: str, wanted: Pipeline, source: str) -> str:
    """The text of a pipeline file with the lines and zones of another pipeline of the same cameras.

    Raises:
        RulesError: the text cannot be changed to say that.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML(typ="rt")
    editor.preserve_quotes = True
    editor.width = 120
    if re.search(r":[ \t]*(#.*)?\n +- ", text) and not re.search(r"^\S.*:[ \t]*(#.*)?\n- ", text, re.MULTILINE):
        editor.indent(mapping=2, sequence=4, offset=2)
    why = "it is written in a way that cannot be changed here; draw it into the file by hand"
    try:
        before = parse_pipeline(text, source)
        document = editor.load(text)
        _set_rules(document, wanted.lines, wanted.zones)
        by_name = {camera.name: camera for camera in wanted.cameras}
        for entry in document["cameras"]:
            camera = by_name[entry["name"]]
            _set_rules(entry, camera.lines, camera.zones)
        out = io.StringIO()
        editor.dump(document, out)
        after = parse_pipeline(out.getvalue(), source)
    except PipelineError as error:
        raise RulesError(f"{source} cannot be saved into: {error}") from error
    except (YAMLError, KeyError, TypeError, ValueError) as error:
        raise RulesError(f"{source} cannot be saved into: {why} ({error})") from error
    if rules_of(after) != rules_of(wanted) or _without_rules(after) != _without_rules(before):
        raise RulesError(f"{source} cannot be saved into: {why}")
    return out.getvalue()


def pipeline_text(pipeline: Pipeline) -> str:
    """A whole pipeline as a file."""
    document = pipeline.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    document = {"version": 1, **{key: value for key, value in document.items() if value not in ([], {})}}
    entries = {f"camera {one['name']}": one for one in document.get("cameras", ())}
    entries |= {"publish": document["publish"]} if "publish" in document else {}
    hidden = []
    for name, entry in entries.items():
        shown = hide_query_secrets(entry["url"])  # this is shown on the page
        hidden += [name] if shown != entry["url"] else []
        entry["url"] = shown
    said = f"# Passwords in URLs were left out ({MASK}); write them in again: {', '.join(hidden)}.\n" if hidden else ""
    return _HEAD + said + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _set_rules(entry: Any, lines: Sequence[Line], zones: Sequence[Zone]) -> None:
    for key, rules in (("lines", lines), ("zones", zones)):
        wanted = [rule.model_dump(mode="json", exclude_none=True) for rule in rules]
        if not wanted:
            entry.pop(key, None)
            continue
        listed = entry.setdefault(key, [])
        by_name = {item["name"]: item for item in listed}
        kept = [_changed(by_name.get(one["name"]), one) for one in wanted]
        if [id(item) for item in kept] != [id(item) for item in listed]:
            listed[:] = kept


def _changed(item: Any, wanted: dict[str, Any]) -> Any:
    """An entry of a list with what is wanted, on one line when it is new."""
    from ruamel.yaml.comments import CommentedMap

    if item is None:
        item = CommentedMap()
        item.fa.set_flow_style()
    for key in [key for key in item if key not in wanted]:
        del item[key]
    for key, value in wanted.items():
        if key in item and _plain(item[key]) == value:
            continue
        item[key] = _on_one_line(value) if isinstance(value, list) else value
    return item


def _on_one_line(values: list[Any]) -> Any:
    from ruamel.yaml.comments import CommentedSeq

    listed = CommentedSeq([_on_one_line(one) if isinstance(one, list) else _quoted(one) for one in values])
    listed.fa.set_flow_style()
    return listed


def _quoted(value: Any) -> Any:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    return DoubleQuotedScalarString(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, list) else value


def rules_of(pipeline: Pipeline) -> Any:
    """The lines and zones of a pipeline, to be compared."""
    of_cameras = {camera.name: (camera.lines, camera.zones) for camera in pipeline.cameras}
    return pipeline.lines, pipeline.zones, of_cameras


def _without_rules(pipeline: Pipeline) -> Pipeline:
    bare = {"lines": (), "zones": ()}
    return pipeline.model_copy(
        update={**bare, "cameras": tuple(camera.model_copy(update=bare) for camera in pipeline.cameras)}
    )
