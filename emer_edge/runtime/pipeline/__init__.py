"""The live pipeline: a synchronous core, threads around it, and what a run was like."""

from __future__ import annotations

from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.pipeline.pipeline import Pipeline
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.pipeline.summary import Summary

__all__ = ["Pipeline", "PipelineCore", "Stream", "Summary"]
