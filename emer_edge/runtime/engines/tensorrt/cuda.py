"""The GPU's context and buffers, by pycuda: retained, current only around calls, freed by the thread that owns them.

`pycuda.autoinit` is never used: it makes a second context that stays current for ever, while TensorRT works in the
primary one. Buffers are freed while the context is current, or pycuda leaks them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import EngineError, MissingExtraError
from emer_edge.runtime.engines.tensorrt.buffers import Buffer
from emer_edge.runtime.engines.tensorrt.driver import DriverError, load_driver

__all__ = ["CudaOwner", "Memory"]

_NON_BLOCKING: Final = 1  # CU_STREAM_NON_BLOCKING: the default stream's work does not wait for ours, nor ours for it


@dataclass(frozen=True, eq=False)
class Memory:
    """The memory of one tensor.

    Attributes:
        buffer: what was planned.
        host: (elements,) page-locked.
        device: device allocation; None where the host buffer is mapped.
        address: where the GPU finds the tensor.
    """

    buffer: Buffer
    host: NDArray[Any]
    device: Any
    address: int

    def view(self, batch: int) -> NDArray[Any]:
        """The host buffer as the tensor of a batch, contiguous."""
        shape = self.buffer.spec.at(batch)
        return self.host[: int(np.prod(shape))].reshape(shape)


class CudaOwner:
    """The primary context of the first GPU, and one stream in it.

    Raises:
        MissingExtraError: pycuda is not installed.
        EngineError: CUDA refuses; the message holds its words.
    """

    def __init__(self) -> None:
        try:
            from pycuda import driver
        except ImportError as error:
            if getattr(error, "name", None) not in ("pycuda", None):
                raise EngineError(f"pycuda can't be imported ({error}); install it again on this machine") from None
            raise MissingExtraError("the engine tensorrt", "pycuda", "jetson") from None
        self._cuda: Any = driver
        self._thread = threading.get_ident()
        self._context: Any = None
        try:
            driver.init()
            device = driver.Device(0)
            self.integrated = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
            self._context = device.retain_primary_context()
            with self.current():
                self.stream: Any = driver.Stream(_NON_BLOCKING)
        except driver.Error as error:
            raise EngineError(f"CUDA can't be used on this machine: {error}") from None

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread, and give the thread back as it was.

        Raises:
            EngineError: CUDA failed meanwhile, or it was closed.
        """
        if self._context is None:
            raise EngineError("the engine is closed; open the bundle again")
        try:
            self._context.push()
            try:
                yield
            finally:
                self._cuda.Context.pop()
        except (self._cuda.Error, DriverError) as error:
            raise EngineError(f"CUDA failed: {error}") from None

    def allocate(self, buffer: Buffer) -> Memory:
        """Get the memory of one tensor; the context must be current."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP if buffer.mapped else 0
        host = self._cuda.pagelocked_empty(buffer.elements, buffer.spec.dtype, mem_flags=flags)
        if buffer.mapped:
            return Memory(buffer, host, None, int(host.base.get_device_pointer()))
        device = self._cuda.mem_alloc(buffer.bytes)
        return Memory(buffer, host, device, int(device))

    def free(self, memories: Sequence[Memory]) -> None:
        """Give memory back; the context must be current, in the thread that opened it."""
        for each in memories:
            if each.device is not None:
                each.device.free()
            allocation: Any = each.host.base
            allocation.free()

    def upload(self, memory: Memory, batch: int) -> None:
        """Queue the copy of an input to the GPU; nothing where it is mapped."""
        if memory.device is not None:
            self._cuda.memcpy_htod_async(memory.device, memory.view(batch), self.stream)

    def download(self, memory: Memory, batch: int) -> None:
        """Queue the copy of an output from the GPU; nothing where it is mapped."""
        if memory.device is not None:
            self._cuda.memcpy_dtoh_async(memory.view(batch), memory.device, self.stream)

    @property
    def is_owner(self) -> bool:
        """Whether this is the thread that opened it."""
        return threading.get_ident() == self._thread

    def close(self) -> None:
        """Release the context, in the thread that opened it (`is_owner`); may be called twice."""
        if self._context is None:
            return
        with self.current():
            self.stream = None
        context, self._context = self._context, None
        context.detach()
        # pycuda pushes the context to release it and takes the release for a pop, which holds for the contexts that
        # it makes and not for the primary one: that would stay current in this thread.
        load_driver().pop_context()
