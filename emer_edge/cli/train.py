"""`emer-edge train`: fit EMERT to one fold of EMER."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.datasets import (
    ClassesOption,
    DataChoices,
    KeepFoldsOption,
    LabelColumnOption,
    SheetRateOption,
    StrictOption,
    ViewOption,
    open_dataset,
)
from emer_edge.cli.shared_options import DATA_PANEL, ForceOption, panel
from emer_edge.core.packages import TRAIN_PACKAGES, require
from emer_edge.core.standard_streams import command
from emer_edge.core.window import NEW_RULE, EventsRule
from emer_edge.training.config import Device, Recipe, TrainingConfig

_data, _network, _fitting, _written = panel(DATA_PANEL), panel("Network"), panel("Fitting"), panel("Checkpoint")


def train(
    data: Annotated[Path, _data("Root of an EMER data set, or of one made by `emer-edge synth`.", "--data")],
    fold: Annotated[
        int, _fitting("The held-out fold; the other four are trained on.", min=1, max=5)
    ] = TrainingConfig.fold,
    output: Annotated[
        Path | None,
        _written("Checkpoint to write, by default emert-fold1.pt and so on; an unfinished run is kept beside it."),
    ] = None,
    frozen_backbone: Annotated[
        bool,
        _network(
            "Compute face features once and fit the rest: minutes on a CPU. Without --backbone-weights the package's "
            "own encoder computes them, which is smaller than EMERT's ResNet-18.",
            "--frozen-backbone",
        ),
    ] = TrainingConfig.frozen_backbone,
    backbone_weights: Annotated[Path | None, _network("A torchvision ResNet-18 state dict to start from.")] = None,
    recipe: Annotated[
        Recipe,
        _network("emer-edge: all heads in one network. published: one head, as the authors trained it."),
    ] = TrainingConfig.recipe,
    head: Annotated[str | None, _network("The head of a published recipe, such as er-7.")] = None,
    events: Annotated[
        EventsRule,
        _network(
            "Eye-movement columns: causal-2 and causal as a live stream can know them, the first with tracker "
            "noise smoothed away, or published, as the sheets have them."
        ),
    ] = NEW_RULE,
    epochs: Annotated[int | None, _fitting("Default 200; 60 with a frozen backbone.", min=1)] = None,
    batch: Annotated[int | None, _fitting("Default 16; 32 with a frozen backbone.", min=2)] = None,
    learning_rate: Annotated[
        float | None,
        _fitting("Default 1e-4; 1e-3 with a frozen backbone.", min=1e-9, max=10),
    ] = None,
    eye_loss: Annotated[
        float | None, _network("Weight of the eye-behaviour task, this project's own; 0 leaves it out.", min=0)
    ] = None,
    drop_columns: Annotated[
        float, _fitting("Share of training windows without columns that common trackers lack.", min=0, max=1)
    ] = TrainingConfig.drop_columns,
    augment: Annotated[
        bool,
        _fitting(
            "Worsen half of the training windows: noise, offsets and lost samples of the eyes; without "
            "--frozen-backbone also mirrored faces in other light.",
            "--augment",
        ),
    ] = TrainingConfig.augment,
    seed: Annotated[
        int, _fitting("Of initial weights, draws and dropout.", min=0, max=2**32 - 1)
    ] = TrainingConfig.seed,
    device: Annotated[Device, _fitting("Where to compute.")] = TrainingConfig.device,
    resume: Annotated[bool, _fitting("Continue an unfinished run of the same settings.")] = TrainingConfig.resume,
    view: ViewOption = None,
    classes: ClassesOption = None,
    label_column: LabelColumnOption = None,
    sheet_rate: SheetRateOption = None,
    strict: StrictOption = False,
    keep_folds: KeepFoldsOption = False,
    force: ForceOption = False,
) -> None:
    """Fit EMERT to four folds of EMER; the fifth is never touched.

    The epoch is chosen on a slice of the training participants set apart. Ctrl-C keeps what was done: the same command
    continues it.
    """
    require("emer-edge train", TRAIN_PACKAGES, "train")
    from emer_edge.core.whole_file import Target
    from emer_edge.training.train import train as fit

    config = TrainingConfig(
        output=output or Path(f"emert-fold{fold}.pt"),
        fold=fold,
        recipe=recipe,
        head=head,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        eye_loss=eye_loss,
        drop_columns=drop_columns,
        augment=augment,
        frozen_backbone=frozen_backbone,
        backbone_weights=backbone_weights,
        seed=seed,
        device=device,
        resume=resume,
        force=force,
    )
    choices = DataChoices(
        view=view, classes=classes, columns=label_column, strict=strict, keep_folds=keep_folds, sheet_rate=sheet_rate
    )
    if config.face_network == "separable":
        say("faces: the package's own encoder, smaller than EMERT's ResNet-18 (--backbone-weights names one of those)")
    Target.of(config.output, force)  # before every frame is read, not after
    with progress_bars() as report:
        dataset = open_dataset(data, choices, report, events)
        summary = fit(dataset, config, report, say)
    chosen = " (chosen on the selection slice)" if summary.scores else ""
    say(f"wrote {summary.output}: epoch {summary.epoch} of {summary.epochs}{chosen}")
    checkpoint = summary.output
    made = ("--output", checkpoint.with_suffix(".emer"), "--checkpoint", checkpoint, "--data", data, "--fold", fold)
    say(f"next: {command('export', '--precision', 'int8', *made, *choices.flags())}")
