"""A build's progress, from TensorRT's nested phases to one percentage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emer_edge.spec.progress import Progress

__all__ = ["PhaseTree", "progress_monitor"]


@dataclass
class _Phase:
    steps: int
    parent: str
    done: int = 0
    children: set[str] = field(default_factory=set)


class PhaseTree:
    """How far nested phases are: a phase's running step counts by the share that its sub-phase has done."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._root = ""
        self._percent = 0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Enter a phase of so many steps."""
        self._phases[name] = _Phase(max(1, steps), parent or "")
        if parent in self._phases:
            self._phases[parent].children.add(name)
        elif not self._root:
            self._root = name

    def step(self, name: str, number: int) -> None:
        """End step `number`, counted from 0."""
        if name in self._phases:
            self._phases[name].done = number + 1

    def finish(self, name: str) -> None:
        """Leave a phase."""
        phase = self._phases.pop(name, None)
        if phase is not None and phase.parent in self._phases:
            self._phases[phase.parent].children.discard(name)
        if name == self._root:
            self._percent = 100

    @property
    def percent(self) -> int:
        """Share done, 0 to 100; never less than before."""
        if self._root in self._phases:
            self._percent = max(self._percent, int(100 * self._share(self._root)))
        return self._percent

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        running = max((self._share(each) for each in phase.children), default=0.0)
        return min(1.0, (phase.done + running) / phase.steps)


def progress_monitor(trt: Any, label: str, progress: Progress) -> Any:
    """Make an `IProgressMonitor` that tells `progress` percentages.

    Its `stopped` holds what `progress`, or Ctrl-C, raised: the build is then given up, and the caller raises it.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped: BaseException | None = None
            self._tree = PhaseTree()
            self._told = -1

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tree.step(phase_name, step)
            self._tell()
            return self.stopped is None

        def phase_finish(self, phase_name: str) -> None:
            self._tree.finish(phase_name)
            self._tell()

        def _tell(self) -> None:
            percent = self._tree.percent
            if percent == self._told or self.stopped is not None:
                return
            self._told = percent
            try:
                progress(label, percent, 100)
            except BaseException as error:  # must not pass through NVIDIA's frames
                self.stopped = error

    return Monitor()
