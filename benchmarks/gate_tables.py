"""The figures of docs/reference/gate.md, made from benchmarks/results/gate.json; none is written by hand.

python -m benchmarks.gate_tables
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "gate.json"
REFERENCE = ROOT / "docs" / "reference" / "gate.md"
BEGIN, END = "<!-- tables: made by `python -m benchmarks.gate_tables` -->\n", "<!-- end of tables -->"
KINDS = {
    "corridor": "one-by-one corridor",
    "bottles": "bottle belt",
    "cars": "car park",
    "shop": "shop (Retail02)",
    "small": "drawn, 24 px, 4.3 s in view",
    "gone": "drawn, 24 px, gone within one group",
    "slow": "drawn, 0.3 to 0.6 px/s",
    "belt": "drawn belts, 120 px, never still",
    "parts": "drawn belts, 24 px, never still",
}


def write(document: dict[str, Any]) -> None:
    """Put the tables of a record into the reference."""
    before, _, rest = REFERENCE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    REFERENCE.write_text(f"{before}{BEGIN}\n{as_markdown(document)}\n\n{END}{after}", encoding="utf-8")


def as_markdown(document: dict[str, Any]) -> str:
    """What was found in all, by film, by clip."""
    figures, host = document["figures"], document["host"]
    where = (
        f"{document['measured_utc'][:10]}, commit `{document['commit']}`; {host['processor']}, {host['cores']} cores."
    )
    return "\n\n".join((where, _summary(figures["all"]), _films(figures["films"]), _clips(figures["clips"])))


def _summary(all_films: dict[str, Any]) -> str:
    rows = [
        ("true events caught, all films", _caught(all_films["recall"])),
        ("the same without `gone`, average", _caught(all_films["recall_without_hiding_noise"])),
        ("the same, films with real activity only", _caught(all_films["recall_of_real_footage"])),
        ("belts that never stop", _caught(all_films["recall_of_belts"])),
        (
            "CPU on quiet stretches",
            f"{all_films['quiet_saving']:.1f} times less (least {all_films['quiet_saving_least']:.1f})",
        ),
        ("CPU of whole films", f"{all_films['saving']:.1f} times less"),
        ("frames not decoded", f"{all_films['gated_share']:.0%} ({1 - all_films['active_share']:.0%} are still)"),
        (
            "told in stillness (trembling boxes), off / on",
            f"{all_films['told_in_stillness_off']} / {all_films['told_in_stillness_on']}",
        ),
    ]
    minutes = f"{all_films['minutes']:g} minutes, {all_films['active_share']:.1%} active"
    return _table((minutes, ""), rows)


def _caught(recall: dict[str, Any]) -> str:
    low, high = recall["wilson_95"]
    caught = f"{recall['caught']} of {recall['events']}: {recall['share']:.1%}"
    return f"{caught} (95 % Wilson interval {low:.1%} to {high:.1%})"


def _films(rows: list[dict[str, Any]]) -> str:
    titles = ("film", "active", "true events", "missed", "told in stillness, off / on", "not decoded", "openings",
              "CPU s, off / on", "quiet: CPU ms a second, off / on", "times less", "note")  # fmt: skip
    return _table(titles, (_film(row) for row in rows))


def _film(row: dict[str, Any]) -> tuple[str, ...]:
    kind, _, variant = row["film"].partition("-")
    return (
        f"{KINDS[kind]}, {variant}",
        f"{row['active_share']:.1%}",
        str(row["true_events"]),
        str(row["missed"]),
        f"{row['told_in_stillness_off']} / {row['told_in_stillness_on']}",
        f"{row['gated_share']:.0%}",
        str(row["openings"]),
        f"{row['cpu_s_off']:.1f} / {row['cpu_s_on']:.1f}",
        f"{row['quiet_ms_a_second_off']:.0f} / {row['quiet_ms_a_second_on']:.1f}",
        f"{row['quiet_saving']:.1f}",
        row["note"].partition(":")[0],
    )


def _clips(rows: list[dict[str, Any]]) -> str:
    titles = ("clip as it is", "active", "longest group", "decoding's part of CPU", "not decoded", "not detected on",
              "CPU saved", "allowed by share", "achieved", "allowed with these keyframes", "achieved", "true events",
              "missed")  # fmt: skip
    return _table(titles, (_clip(row) for row in rows))


def _clip(row: dict[str, Any]) -> tuple[str, ...]:
    shares = (
        "decode_share",
        "gated_share",
        "gated_slots_share",
        "saving",
        "allowed_by_share",
        "allowed_with_keyframes",
    )
    decode, gated, gated_slots, saving, by_share, with_keyframes = (f"{row[name]:.0%}" for name in shares)
    of_share, of_keyframes = (
        "-" if value is None else f"{value:.2f}" for value in (row["achieved_of_share"], row["achieved_with_keyframes"])
    )
    return (
        row["clip"], f"{row['active_share']:.0%}", f"{row['most_frames_of_a_group']} frames", decode, gated,
        gated_slots, saving, by_share, of_share, with_keyframes, of_keyframes, str(row["true_events"]),
        str(row["missed"]),
    )  # fmt: skip


def _table(titles: Any, rows: Any) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    write(json.loads(RESULT.read_text(encoding="utf-8")))
