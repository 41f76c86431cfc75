"""The tables of docs/reference/rivals.md, made from benchmarks/results/rivals.json; none is written by hand."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.rivals.measuring import KNOWING, MEMORY_SHARE, RIVALS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "rivals.md"
BEGIN, END = "<!-- tables: made by `python -m benchmarks.rivals table` -->\n", "<!-- end of tables -->"
KNOWN = "the floor of a gate that knows beforehand when something happens"


def write(document: dict[str, Any]) -> None:
    """Put the tables of a record into the reference."""
    before, _, rest = REFERENCE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    REFERENCE.write_text(f"{before}{BEGIN}\n{as_markdown(document)}\n\n{END}{after}", encoding="utf-8")


def as_markdown(document: dict[str, Any]) -> str:
    """Where it was measured, the busy table, the quiet one where there is one, the versions."""
    figures = document["figures"]
    parts = [_heading(document), _busy(figures)]
    if "quiet" in figures:
        parts += [_quiet(figures)]
    return "\n\n".join([*parts, _versions(figures)])


def _heading(document: dict[str, Any]) -> str:
    host, figures = document["host"], document["figures"]
    rounds = figures["contestants"]["opencv"]["rounds"]
    plural = "" if rounds == 1 else "s, medians"
    changed = f", {document['changed_files']} files changed" if document["changed_files"] else ""
    return (
        f"{document['measured_utc'][:10]}, commit `{document['commit']}`{changed}; {host['processor']}, "
        f"{host['cores']} cores; `{figures['clip']}` {figures['streams']} times, detection on every "
        f"{figures['every']}th frame; {rounds} round{plural}; ours: {figures['our_precision']}."
    )


def _busy(figures: dict[str, Any]) -> str:
    rows = []
    for size in ("416x416", "416x256"):
        names = [name for name, (_, at, _) in RIVALS.items() if at == size]
        for name in (f"floor_{size}", f"ours_{size}", *names):
            rows.append(_busy_row(name, size, figures))
    titles = [
        "what",
        "input",
        "frames/s",
        "cores got",
        "CPU s per 1000 frames (least to most)",
        "rival / ours (by round)",
        "aim",
    ]
    titles += [
        "ceiling: rival / floor",
        "peak memory, MiB",
        "ours / its memory",
        "first result, s",
        "objects a picture",
    ]
    return _table(titles, rows)


def _busy_row(name: str, size: str, figures: dict[str, Any]) -> list[str]:
    found = figures["contestants"][name]
    compared = figures["comparison"].get(name)
    kind = {"floor": "the floor: bare decoding, bare inference", "ours": "**vedette run**"}.get(name.partition("_")[0])
    least, most = found["cpu_least_and_most"]
    ratios = ["", "", "", ""]
    if compared:
        ratios = [f"{compared['ratio']:.2f}", f"{compared['aim']:.2f}", f"{compared['ceiling']:.2f}"]
        if each := compared.get("ratio_each"):  # not in records before rounds were compared one by one
            ratios[0] += f" ({min(each):.2f} to {max(each):.2f})"
        ratios[0] += " ✓" if compared["reached"] else " ✗"
        share = compared["our_share_of_its_memory"]
        mark = "" if "ultralytics" not in name else " ✓" if share <= MEMORY_SHARE else " ✗"
        ratios.append(f"{share:.2f}{mark}")
    first = found["first_result_s"]
    objects = found["objects_per_slot"] or found["tracked_per_slot"]
    return [
        kind or RIVALS[name][0], size, f"{found['frames_per_s']:.0f}", f"{_cores(found):.1f}",
        f"{found['cpu_s_per_1000_frames']:.2f} ({least:.2f} to {most:.2f})", *ratios[:3],
        f"{found['peak_pss_mib']:.0f}", ratios[3], "" if first is None else f"{first:.1f}",
        "" if objects is None else f"{objects:.0f}",
    ]  # fmt: skip


def _cores(found: dict[str, Any]) -> float:
    """How much of the machine a program had: what it wanted, or what others left it."""
    cores: float = found["frames_per_s"] * found["cpu_s_per_1000_frames"] / 1000
    return cores


def _quiet(figures: dict[str, Any]) -> str:
    quiet = figures["quiet"]
    rounds = quiet.get("rounds", 1)
    rows = [_quiet_row(name, found, quiet["input"]) for name, found in quiet["contestants"].items()]
    cost = "CPU s per 1000 frames" + (" (least to most)" if rounds > 1 else "")
    table = _table(["quiet material", "input", "frames/s", cost, "frames", "decoded", "objects a picture"], rows)
    verdict = "reached" if quiet["reached"] else "not reached"
    each = f" (by round: {', '.join(f'{ratio:.1f}' for ratio in quiet['ratio_each'])})" if rounds > 1 else ""
    ceiling = f"; best rival / the gate that knows: {quiet['ceiling']:.1f}" if "ceiling" in quiet else ""
    how_often = "One run each" if rounds == 1 else f"{rounds} rounds in turns, medians"
    sentence = (
        f"Best rival / ours with the gate, CPU seconds: {quiet['ratio']:.1f}{each}, aim {quiet['aim']:.0f}: "
        f"{verdict}{ceiling}. {how_often}, commit `{quiet['commit']}`; films of `benchmarks/gate_material.py`, each a "
        f"camera: {', '.join(Path(name).stem for name in quiet['clips'])}."
    )
    return f"{table}\n\n{sentence}"


def _quiet_row(name: str, found: dict[str, Any], size: str) -> list[str]:
    gate, (least, most) = name.partition("_gate_")[2], found["cpu_least_and_most"]
    what = f"**vedette run --gate {gate}**" if gate else KNOWN if name == KNOWING else RIVALS[name][0]
    cost = f"{found['cpu_s_per_1000_frames']:.2f}" + (f" ({least:.2f} to {most:.2f})" if found["rounds"] > 1 else "")
    objects = found["objects_per_slot"]
    return [
        what,
        size,
        f"{found['frames_per_s']:.0f}",
        cost,
        str(found["frames"]),
        f"{found.get('decoded_share', 1):.0%}",
        "" if objects is None else f"{objects:.0f}",
    ]


def _versions(figures: dict[str, Any]) -> str:
    lines = [
        f"- {name}: {', '.join(f'{package} {version}' for package, version in installed.items())}"
        for name, installed in figures["environments"].items()
    ]
    return "\n".join(["What was installed in the rivals' environments:", "", *lines])


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
