"""Distil the teacher into the product's ResNet-18, on renders; stopped at any time, it goes on where it was.

Stage A fits stem and layer1 to the teacher's dense1. Then layer2 to layer4 start from the teacher's own kernels, and
stage B fits everything: features, softened classes, and the maps of the three stages as hints. Stage C goes on with
that at a lower rate.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.demo_weights.augment import draw_batch
from benchmarks.demo_weights.muon import Muon
from benchmarks.demo_weights.pool import Pool
from benchmarks.demo_weights.student import (
    Student,
    apart,
    explained,
    fitted_readout,
    kullback_leibler,
    transplant,
)
from benchmarks.demo_weights.teacher import Teacher
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import whole_file

_BATCH: Final = 16  # each gives hundreds of cells to the hints: steps are scarcer than faces
_AT_ONCE: Final = 50
_SEED: Final = 3
_SAVED_EVERY_S: Final = 60.0
_JUDGED_EVERY: Final = 200  # batches
_JUDGED_ON: Final = 300  # held-out renders, while it runs
_SCALED_ON: Final = 256  # training crops that losses are scaled by
_EVENED_ON: Final = 1000  # training crops
_FITTED_ON: Final = 4000  # training crops for the read-out in the end: with 1,000, 256 weights each are mostly noise
_HINTS: Final = (0.5, 0.7, 1.0)
_LARGEST_GRADIENT: Final = 5.0
_TURNED: Final = 128  # most outputs of a kernel that Muon steps: beyond, its steps cost more than they save
_AGAIN: Final = 0.7  # of the learning rate, in stage C
_AVERAGED: Final = 0.995  # of the running average of weights


@dataclass(frozen=True)
class Recipe:
    """Settings of distillation.

    Attributes:
        images: training crops of stages A and B.
        more: of stage C.
        first: share of `images` for stage A.
        rate: learning rate; three times as much in stage A, and less in stage C.
        falling: share of each stage, its end, over which the learning rate falls to nothing.
        warming: batches over which it rises.
    """

    images: int = 18_400
    more: int = 9_600
    first: float = 0.348
    rate: float = 7e-4
    falling: float = 0.6
    warming: int = 30

    @property
    def batches(self) -> int:
        """Of all three stages."""
        return self.images // _BATCH + self.more // _BATCH

    def at(self, batch: int) -> tuple[bool, float]:
        """Whether a batch belongs to stage A, and its learning rate."""
        second = self.images // _BATCH
        border = round(second * self.first)
        stage = (batch >= border) + (batch >= second)
        start, end = ((0, border), (border, second), (second, self.batches))[stage]
        along = (batch - start) / max(1, end - start)
        falling = max(0.0, (along - (1 - self.falling)) / self.falling)
        rise = min(1.0, (batch - start + 1) / self.warming)
        peak = self.rate * (3, 1, _AGAIN)[stage]
        return stage == 0, peak * rise * (0.5 * (1 + math.cos(math.pi * falling)) + 0.01)


@dataclass(frozen=True)
class Judgement:
    """How a student compares with the teacher on held-out renders.

    Attributes:
        renders, identities: how many.
        r2: explained share of the teacher's 256 features, by the linear read-out.
        agreement: share of renders with the same first class.
        divergence: mean Kullback-Leibler divergence of the classes, in nats.
    """

    renders: int
    r2: float
    agreement: float
    divergence: float


class Distillation:
    """One run.

    Args:
        work: folder of the packages; `distil.pt` in it holds an unfinished run.
        pool: training renders.
        held_out: renders of other people.
        recipe: the settings.

    Attributes:
        student: the network.
        average: the running average of its weights, which is what is kept.
        batch: batches done.
        seconds: time spent, over all sittings.
    """

    def __init__(self, work: Path, pool: Pool, held_out: Pool, recipe: Recipe | None = None) -> None:
        self.recipe = recipe or Recipe()
        self.path, self.pool = work / "distil.pt", pool
        self.teacher = Teacher(work)
        torch.manual_seed(_SEED)
        self.student = Student().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.student)
        self.batch, self.seconds = 0, 0.0
        self.losses: dict[str, float] = {}
        self._optimisers: list[torch.optim.Optimizer] = []
        self._held_out = torch.from_numpy(held_out.crops())
        faces = self._faces(0, _SCALED_ON, stream=0)
        with torch.no_grad():
            self._scales = [one.var((0, 2, 3), keepdim=True) for one in self.teacher.maps(faces)]
            self._scales = [one.clamp_min(float(one.mean()) * 0.1) for one in self._scales]
            deviation = self.teacher(faces)[0].std(0)
            self._deviation = (deviation.clamp_min(float(deviation.mean()) * 0.2) * deviation.mean()).sqrt()
        if self.path.exists():
            self._load()

    def run(self, progress: Progress = silent) -> None:
        """Distil to the end."""
        total = self.recipe.batches
        saved = began = time.monotonic()
        spent = self.seconds
        with ThreadPoolExecutor(1) as drawing:
            coming = drawing.submit(self._lesson, self.batch)
            while self.batch < total:
                faces, wanted = coming.result()
                coming = drawing.submit(self._lesson, self.batch + 1)
                self._step(faces, wanted)
                now = time.monotonic()
                self.seconds = spent + now - began
                if now - saved > _SAVED_EVERY_S:
                    self._save()
                    saved = now
                progress(self._said(), self.batch * _BATCH, total * _BATCH)
            coming.cancel()
        self._save()

    @torch.no_grad()
    def evened(self) -> Student:
        """The average, with features that vary about alike."""
        student = copy.deepcopy(self.average).eval()
        features = torch.cat([student(faces)[1] for faces in self._crops(_EVENED_ON)])
        student.even(features.std(0))
        return student

    @torch.no_grad()
    def judge(self, network: nn.Module) -> Judgement:
        """Compare a network with the teacher on all held-out renders, by a linear read-out fitted on training crops.

        Args:
            network: maps faces (n, 3, 112, 112) to features (n, k).
        """
        network.eval()
        seen = [(network(faces), self.teacher(faces)[0]) for faces in self._crops(_FITTED_ON)]
        readout = fitted_readout(torch.cat([own for own, _ in seen]), torch.cat([wanted for _, wanted in seen]))
        return self._judge(lambda faces: readout(network(faces)), len(self._held_out))

    @torch.no_grad()
    def _judge(self, guessed: Callable[[Tensor], Tensor], count: int) -> Judgement:
        guesses, truths = [], []
        for faces in self._held_out[:count].split(_AT_ONCE):
            guesses.append(guessed(faces))
            truths.append(self.teacher(faces)[0])
        guess, truth = torch.cat(guesses), torch.cat(truths)
        classes, wanted = self.teacher.logits(guess), self.teacher.logits(truth)
        same = (classes.argmax(1) == wanted.argmax(1)).float().mean()
        return Judgement(len(guess), explained(guess, truth), float(same), float(kullback_leibler(classes, wanted)))

    def _crops(self, count: int) -> Iterator[Tensor]:
        """Training crops that no step has seen."""
        return (self._faces(at, _AT_ONCE, stream=2) for at in range(count // _AT_ONCE))

    def _faces(self, batch: int, count: int = _BATCH, stream: int = 1) -> Tensor:
        """The crops of a batch: they depend on its number alone, so that a run that goes on sees what it would have."""
        cv2.setNumThreads(1)
        rng = np.random.default_rng([_SEED, stream, batch])
        faces = torch.from_numpy(draw_batch(self.pool, count, rng))
        return faces.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def _lesson(self, batch: int) -> tuple[Tensor, list[Tensor]]:
        """The crops of a batch, and the teacher's maps of them."""
        faces = self._faces(batch)
        return faces, self.teacher.maps(faces, 2 if self.recipe.at(batch)[0] else 4)

    def _step(self, faces: Tensor, wanted: list[Tensor]) -> None:
        first, rate = self.recipe.at(self.batch)
        before = self.batch > 0 and self.recipe.at(self.batch - 1)[0]
        if not first and before:
            transplant(self.student, self.teacher, faces)
            self.average = copy.deepcopy(self.student)
        if not self._optimisers or (before and not first):
            self._optimisers = self._fresh_optimisers(first)
        self.student.train()
        if first:
            parts = {"dense1": self._hint(self.student.stem(faces), wanted[0], 0)}
            loss = parts["dense1"]
        else:
            maps, own = self.student(faces)
            features, truth = self.student.readout(own), wanted[-1].mean((2, 3))
            parts = {
                "features": (((features - truth) / self._deviation) ** 2).mean(),
                "classes": kullback_leibler(self.teacher.logits(features), self.teacher.logits(truth), 2.0),
                **{f"dense{at + 1}": self._hint(maps[at], wanted[at], at) for at in range(3)},
            }
            hints = sum(weight * parts[f"dense{at + 1}"] for at, weight in enumerate(_HINTS))
            loss = parts["features"] + 0.5 * parts["classes"] + hints
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), _LARGEST_GRADIENT)
        for optimiser in self._optimisers:
            optimiser.step()
        self.batch += 1
        self._follow()
        for name, part in parts.items():
            self.losses[name] = 0.95 * self.losses.get(name, part.item()) + 0.05 * part.item()

    @torch.no_grad()
    def _follow(self) -> None:
        share = min(_AVERAGED, 1 - 1 / (self.batch + 1))
        for mean, now in zip(self.average.state_dict().values(), self.student.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - share)
            else:
                mean.copy_(now)

    def _hint(self, student: Tensor, teacher: Tensor, at: int) -> Tensor:
        mine, wanted = apart(student, teacher)
        return ((mine - wanted) ** 2 / self._scales[at]).mean()

    def _fresh_optimisers(self, first: bool) -> list[torch.optim.Optimizer]:
        net = self.student.net
        modules = [net.conv1, net.bn1, net.layer1] if first else [self.student]
        parameters = [one for module in modules for one in module.parameters()]
        kernels = [one for one in parameters if one.dim() == 4 and len(one) <= _TURNED]
        others = [one for one in parameters if one.dim() != 4 or len(one) > _TURNED]
        return [
            Muon(kernels, self.recipe.rate, weight_decay=0.02),
            torch.optim.AdamW(others, self.recipe.rate, betas=(0.9, 0.99), weight_decay=0.0),
        ]

    def _said(self) -> str:
        if self.batch % _JUDGED_EVERY:
            return "distilling"
        losses = ", ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        figures = ""
        if not self.recipe.at(self.batch)[0]:
            average = self.average.eval()
            figures = f"; {self._judge(lambda faces: average.readout(average(faces)[1]), _JUDGED_ON)}"
        return f"distilling ({self.seconds:.0f} s; {losses}{figures})"

    def _save(self) -> None:
        content: dict[str, Any] = {
            "recipe": asdict(self.recipe),
            "batch": self.batch,
            "seconds": self.seconds,
            "losses": self.losses,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
        }
        with whole_file(self.path) as unfinished:
            torch.save(content, unfinished)

    def _load(self) -> None:
        content = torch.load(self.path, weights_only=True)
        if content["recipe"] != asdict(self.recipe):
            return
        self.batch, self.seconds, self.losses = content["batch"], content["seconds"], content["losses"]
        self.student.load_state_dict(content["student"])
        self.average.load_state_dict(content["average"])
        if content["optimisers"]:
            self._optimisers = self._fresh_optimisers(self.recipe.at(max(0, self.batch - 1))[0])
            for optimiser, state in zip(self._optimisers, content["optimisers"], strict=True):
                optimiser.load_state_dict(state)
