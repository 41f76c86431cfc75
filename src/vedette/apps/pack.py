"""`vedette pack`: a trained model becomes a bundle whose engines agree with its reference, or nothing is written.

Darknet weights are packed by `pack_darknet`, ONNX detectors of other programs by `pack_onnx`; this is their command.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vedette.apps.object_storage import local_data, place_of, uploads_bundle
from vedette.apps.pack_onnx import OnnxFlags
from vedette.apps.pack_variants import VariantFlags
from vedette.contracts.errors import InputError, UsageError

if TYPE_CHECKING:
    from vedette.apps.pack_darknet import PackOptions
    from vedette.apps.pack_onnx import OnnxPackOptions

ResizeFlag = Literal["stretch", "letterbox", "darknet"]
NmsFlag = Literal["iou", "diou", "agnostic"]
NO_ONNX_FLAGS = OnnxFlags()
FP32_ONLY_FLAGS = VariantFlags()


@uploads_bundle
def pack(  # noqa: PLR0913 - the flags of a command
    *,
    out: Path,
    run: Path | None = None,
    cfg: Path | None = None,
    weights: Path | None = None,
    names: Path | None = None,
    onnx: Path | None = None,
    data: Path | None = None,
    pictures: Path | None = None,
    split: str | None = None,
    resize: ResizeFlag | None = None,
    nms_kind: NmsFlag | None = None,
    name: str | None = None,
    licence: str | None = None,
    class_map: Path | None = None,
    onnx_flags: OnnxFlags = NO_ONNX_FLAGS,
    variant_flags: VariantFlags = FP32_ONLY_FLAGS,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Pack weights or an ONNX detector as a bundle: model, receipts, golden pictures; every byte accounted for.

    ONNX Runtime and OpenVINO (where installed) must compute what torch computes, or, for --onnx, what ONNX Runtime does
    with the file as it is, on real pictures when --data or --pictures gives some: scores within 0.001, boxes within 0.5
    pixels; else no bundle is written.

    Parameters
    ----------
    out
        The folder of the new bundle, or s3://BUCKET/PREFIX; must not exist, or be empty.
    run
        A folder that `vedette train` wrote; in place of --cfg, --weights and --names.
    cfg
        Darknet's .cfg file.
    weights
        Darknet's .weights file.
    names
        A file with one class name a line.
    onnx
        An ONNX detector of another program, in place of --weights; with --cfg when its outputs are raw Darknet heads.
    data
        Labelled pictures (VOC, Darknet, YOLO, COCO) for the comparison, the golden pictures and mAP.
    pictures
        A folder of pictures without labels, for the comparison and the golden pictures.
    split
        Which split of --data to measure on; test, else val, else all of it when left out.
    resize
        How pictures become the network's input; as the cfg's letter_box says, else stretch, when left out. darknet is a
        stretch with Darknet's own resize.
    nms_kind
        iou, diou (Darknet's greedynms), or agnostic: IoU between boxes of any classes; as the cfg's nms_kind says, else
        iou, when left out.
    name
        The bundle's name; the run folder's or the model file's when left out.
    licence
        The licence of the weights, for example Apache-2.0.
    class_map
        JSON or YAML file for --data: data class -> model class, or null to leave a data class out.
    json
        Print what was packed and measured as JSON.
    """
    from vedette.apps.console import ConsoleProgress, print_json
    from vedette.apps.pack_darknet import RUN_SPLIT, PackOptions, pack_model
    from vedette.apps.pack_data import is_labelled
    from vedette.apps.pack_evidence import Evidence
    from vedette.apps.pack_onnx import OnnxPackOptions, pack_onnx_model
    from vedette.apps.pack_report import describe_bundle, print_report
    from vedette.apps.pack_variants import check_variant_flags
    from vedette.bundle_folder import refuse_occupied

    wish = check_variant_flags(variant_flags, out)
    refuse_occupied(out)
    if wish.calibration is not None:
        wish = replace(wish, calibration=local_data(wish.calibration))
    if wish.calibration is not None and data is None and pictures is None:
        data, pictures = (wish.calibration, None) if is_labelled(wish.calibration) else (None, wish.calibration)
    if data is not None and pictures is not None:
        raise UsageError("--data and --pictures exclude each other: give one of them")
    if data is None and (split is not None or class_map is not None):
        raise UsageError("--split and --class-map say something about --data SOURCE, which is not given")
    wish = replace(wish, split_file=None if run is None else run / RUN_SPLIT)
    evidence = Evidence(data, split, class_map, pictures)
    if onnx is not None:
        if run is not None or weights is not None:
            raise UsageError("--onnx brings its own weights: leave out --run and --weights")
        options: OnnxPackOptions | PackOptions = OnnxPackOptions(
            out, onnx, names, evidence, onnx_flags,
            cfg=cfg, resize=resize, nms_kind=nms_kind, name=name, licence=licence, wish=wish,
        )  # fmt: skip
    else:
        if onnx_flags != NO_ONNX_FLAGS:
            raise UsageError(f"{', '.join(_given(onnx_flags))}: only for --onnx, which is not given")
        options = PackOptions(
            out, *_model_files(run, cfg, weights, names),
            run=run, data=data, split=split, pictures=pictures, class_map=class_map,
            resize=resize, nms_kind=nms_kind, name=name, licence=licence, wish=wish,
        )  # fmt: skip
    with ConsoleProgress() as progress:
        if isinstance(options, OnnxPackOptions):
            bundle = pack_onnx_model(options, progress)
        else:
            bundle = pack_model(options, progress)
    description = describe_bundle(bundle) | {"bundle": place_of(bundle.path)}
    if json:
        print_json(description)
    else:
        print_report(description)
    return 0


def _model_files(
    run: Path | None, cfg: Path | None, weights: Path | None, names: Path | None
) -> tuple[Path, Path, Path]:
    """cfg, weights and names, from a run or one by one."""
    from vedette.apps.pack_darknet import RUN_CFG, RUN_NAMES, RUN_WEIGHTS

    given = [cfg, weights, names]
    if run is not None:
        if any(path is not None for path in given):
            raise UsageError("--run brings its own --cfg, --weights and --names: give the run, or the three files")
        if not run.is_dir():
            raise InputError(f"{run}: is no folder; --run takes what `vedette train --out` wrote")
        return run / RUN_CFG, run / RUN_WEIGHTS, run / RUN_NAMES
    if cfg is None or weights is None or names is None:
        raise UsageError("give --run RUN, or all of --cfg, --weights and --names, or --onnx MODEL and --names")
    return cfg, weights, names


def _given(flags: OnnxFlags) -> list[str]:
    """The flags that are not left out, as they are typed."""
    names = [field.name for field in fields(flags) if getattr(flags, field.name) != getattr(NO_ONNX_FLAGS, field.name)]
    return [f"--{name.replace('_', '-')}" for name in names]
