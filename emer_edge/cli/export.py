"""`emer-edge export`: a checkpoint becomes a verified bundle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from emer_edge.cli.console import console, progress_bars, say
from emer_edge.cli.datasets import (
    DataChoices,
    KeepFoldsOption,
    LabelColumnOption,
    SheetRateOption,
    StrictOption,
    ViewOption,
    open_dataset,
)
from emer_edge.cli.shared_options import DataOption, ForceOption, panel
from emer_edge.core.packages import EXPORT_PACKAGES, require
from emer_edge.core.public_text import printable
from emer_edge.core.standard_streams import command
from emer_edge.export.export_options import CalibrationMethod, ExportOptions

_network, _int8, _written = panel("Network"), panel("Precision and calibration"), panel("Bundle")


def export(
    precision: Annotated[
        str,
        _int8(
            "fp32, fp16 or int8; several as fp16,int8, and emer-edge build chooses part by part on the device; "
            "auto builds all and keeps the fastest that passes the accuracy gate here."
        ),
    ] = ExportOptions.precision,
    checkpoint: Annotated[
        list[str] | None,
        _network(
            "A checkpoint of `emer-edge train`, or HEAD=PATH of a published one (er-7=a.pth). Repeat it for "
            "several networks in one bundle: each costs a face encoder. Left out: the demo weights, trained on "
            "synthetic clips."
        ),
    ] = None,
    weights: Annotated[
        Literal["raw", "ema"] | None,
        _network("Which weights of a published checkpoint that holds raw and averaged (EMA) ones; raw by default."),
    ] = None,
    output: Annotated[
        Path | None,
        _written(
            "The bundle to write, a folder NAME.emer; .emer is added. Left out: the checkpoint's name, or demo, and "
            "the precision, such as demo-int8.emer."
        ),
    ] = None,
    data: DataOption = None,
    fold: Annotated[int | None, _network("The fold that the checkpoint never saw.", min=1, max=5)] = None,
    classes: Annotated[
        list[str] | None,
        _network(
            "Emotions in the order of their codes (happiness,sadness,...), for published checkpoints and coded "
            "labels; er-3=positive,... for one head. Repeatable."
        ),
    ] = None,
    face_detector: Annotated[Path | None, _network("A YuNet or CenterFace ONNX file; CenterFace by default.")] = None,
    match_brightness: Annotated[
        bool,
        _network(
            "Record in the bundle that live crops darker or brighter than the data set's usual ones are scaled to "
            "its mean grey level plus or minus one standard deviation. Crops of data sets stay as they are.",
            "--match-brightness",
        ),
    ] = ExportOptions.match_brightness,
    calibration_method: Annotated[
        CalibrationMethod,
        _int8(
            "How INT8 ranges are chosen: all that was met, all but the outermost 1 in 100,000, least divergence, "
            "least squared error. auto tries all four on selection windows, takes what moves the heads least."
        ),
    ] = ExportOptions.calibration_method,
    calibration_windows: Annotated[
        int, _int8("EMER windows to calibrate on, spread over emotions and participants.", min=8)
    ] = ExportOptions.calibration_windows,
    cache: Annotated[
        bool,
        _int8(
            "Keep what calibration measured, and use it again while weights, crops and window are the same; "
            "`emer-edge purge` removes it."
        ),
    ] = ExportOptions.use_cache,
    exclude: Annotated[
        list[str] | None,
        _int8(r"INT8 layers to leave in high precision, such as 'layer4\.' or 'lstm'. Repeatable.", metavar="REGEX"),
    ] = None,
    sensitivity: Annotated[
        bool,
        _int8("Measure for the report what INT8 does to each layer alone: half a minute on two cores."),
    ] = ExportOptions.sensitivity,
    fall_back: Annotated[
        bool, _int8("Return sensitive layers to high precision when the gate fails; else fail at once.")
    ] = ExportOptions.fall_back,
    seed: Annotated[int, _int8("Of every draw.", min=0, max=2**32 - 1)] = ExportOptions.seed,
    view: ViewOption = None,
    label_column: LabelColumnOption = None,
    sheet_rate: SheetRateOption = None,
    strict: StrictOption = False,
    keep_folds: KeepFoldsOption = False,
    force: ForceOption = False,
) -> None:
    """Trace, quantise, calibrate, verify and gate EMERT into a bundle for CPUs and TensorRT.

    Exits with 1 when the accuracy gate fails. What is written is there whole or not at all.
    """
    require("emer-edge export", EXPORT_PACKAGES, "export")
    from emer_edge.cli.parsing import class_orders
    from emer_edge.export.exporter import check_export, export_bundle
    from emer_edge.export.report.int8_sections import candidates_table
    from emer_edge.export.report.page import summary_table
    from emer_edge.report.text_tables import to_rich

    common, orders = class_orders(classes or ())
    choices = DataChoices(
        view=view, classes=common, columns=label_column, strict=strict, keep_folds=keep_folds, sheet_rate=sheet_rate
    )
    options = ExportOptions(
        output=output or _named(checkpoint or (), precision),
        precision=precision,
        checkpoints=checkpoint or (),
        weights=weights,
        label_classes=common,
        classes=orders,
        fold=fold,
        face_detector=face_detector,
        match_brightness=match_brightness,
        calibration_method=calibration_method,
        calibration_windows=calibration_windows,
        use_cache=cache,
        exclude=exclude or (),
        sensitivity=sensitivity,
        fall_back=fall_back,
        force=force,
        seed=seed,
        arguments=list(map(printable, sys.argv[1:])),
    )
    check_export(options)
    if data is None and not options.checkpoints:
        say("no --checkpoint and no --data: the demo weights are calibrated on synthetic clips, which are made first")
    say(f"exporting to {options.output}: tracing, calibration and checks take about three minutes on two cores")
    with progress_bars() as report:
        if data is not None:
            options = replace(options, data=open_dataset(data, choices, report))
        done = export_bundle(options, report)
    for note in done.report.notes:
        say(note)
    if done.report.candidates:
        console.print(to_rich(candidates_table(done.report)))
    console.print(to_rich(summary_table(done.report)))
    say(f"wrote {done.path}; read {done.path}/report.html")
    say(f"next: {command('bench', done.path, *(('--data', data, *choices.flags()) if data else ()))}")


def _named(checkpoints: Sequence[str], precision: str) -> Path:
    """What a bundle is called that got no name: `demo-int8.emer`, `emert-fold1-fp16-int8.emer`."""
    stems = {Path(given.rpartition("=")[2]).stem for given in checkpoints} or {"demo"}
    return Path("-".join([stems.pop() if len(stems) == 1 else "emert", *precision.split(",")]) + ".emer")
