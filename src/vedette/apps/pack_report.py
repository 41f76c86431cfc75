"""What `vedette pack` tells when a bundle is there: one JSON document, or a table and a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vedette.bundle_folder import OpenBundle


def describe_bundle(bundle: OpenBundle) -> dict[str, Any]:
    """What `vedette pack --json` prints."""
    from vedette.contracts.bundle import GoldenFile

    manifest = bundle.manifest
    receipt = manifest.variants[0].receipt
    golden = None if manifest.golden is None else GoldenFile.model_validate_json(bundle.read(manifest.golden))
    return {
        "bundle": str(bundle.path),
        "name": manifest.name,
        "digest": bundle.digest,
        "classes": len(manifest.classes),
        "input": {
            "width": manifest.input.width,
            "height": manifest.input.height,
            "resize": manifest.input.resize.value,
        },
        "decode": manifest.decode.kind,
        "agreement": [entry.model_dump(mode="json") for entry in receipt.agreement],
        "accuracy": None if receipt.accuracy is None else receipt.accuracy.model_dump(mode="json"),
        "ms_per_picture": receipt.ms_per_picture,
        "network_ms": receipt.network_ms,
        "engine": receipt.engine,
        "variants": [variant.model_dump(mode="json") for variant in manifest.variants],
        "golden": None
        if golden is None
        else {
            "pictures": len(golden.pictures),
            "detections": sum(len(picture.detections) for picture in golden.pictures),
            "synthetic": golden.synthetic,
        },
        "files": {name: entry.size_bytes for name, entry in manifest.files.items()},
    }


def print_report(description: dict[str, Any]) -> None:
    """The same, for people."""
    from vedette.apps.console import print_line, print_table

    rows = [
        [
            f"{entry['engine']} {entry['engine_version']}",
            str(entry["pictures"]),
            str(entry["boxes_compared"]),
            f"{entry['max_score_difference']:.1e}",
            f"{entry['max_box_difference_px']:.4f}",
        ]
        for entry in description["agreement"]
    ]
    references = " and ".join(sorted({entry["reference"] for entry in description["agreement"]}))
    print_table(f"Largest differences from {references}", ["engine", "pictures", "boxes", "score", "box px"], rows)
    accuracy = description["accuracy"]
    if accuracy is not None:
        part = f"split {accuracy['split']}" if accuracy["split"] else "all"
        figures = f"mAP50 {accuracy['map50']:.4f}, mAP50-95 {accuracy['map50_95']:.4f}"
        print_line(f"{figures} on {accuracy['pictures']} pictures ({part})")
    print_line(f"{description['ms_per_picture']:.1f} ms a picture on {description['engine']}")
    if len(description["variants"]) > 1:
        _print_variants(description["variants"])
    print_line(f"{description['name']}: {description['bundle']}")
    print_line(f"digest {description['digest']}")


def _print_variants(variants: list[dict[str, Any]]) -> None:
    from vedette.apps.console import print_table

    fp32_ms = variants[0]["receipt"]["network_ms"]
    heads = ["variant", "for", "mAP50", "change", "golden", "ms", "times FP32", "accuracy", "speed"]
    print_table("Variants", heads, [_variant_row(variant, fp32_ms) for variant in variants])


def _variant_row(variant: dict[str, Any], fp32_ms: float | None) -> list[str]:
    """Changes in points of a hundred; milliseconds on one core; the network alone against FP32's."""
    receipt = variant["receipt"]
    accuracy, change, golden = receipt["accuracy"], receipt["change"], receipt["golden"]
    ms, network_ms, evidence = receipt["ms_per_picture"], receipt["network_ms"], receipt["evidence"]
    return [
        variant["name"],
        ", ".join(variant["engines"]),
        "–" if accuracy is None else f"{accuracy['map50'] * 100:.2f}",
        "–" if change is None else f"{change['map50'] * 100:+.2f}",
        "–" if golden is None else f"{golden['agreement'] * 100:.0f} %",
        "–" if ms is None else f"{ms:.1f}",
        "–" if network_ms is None or fp32_ms is None else f"{fp32_ms / network_ms:.2f}",
        "–" if evidence is None else evidence["accuracy"],
        "–" if evidence is None else evidence["speed"],
    ]
