from __future__ import annotations

import pytest
from gpu_stand_in import Library

from emer_edge.runtime.engines.tensorrt.cuda import (
    CudaGraph,
    Driver,
    DriverError,
    Gpu,
    find_gpu,
    load_driver,
)


def driver(**codes: int) -> tuple[Driver, Library]:
    library = Library(**codes)
    return Driver(library), library


def test_gpu_is_described() -> None:
    found, _ = driver()
    assert found.gpu() == Gpu("Orin", "8.7", True, "12.6")


def test_failed_call_names_itself_and_the_error() -> None:
    found, _ = driver(cuInit=100)
    with pytest.raises(DriverError, match="cuInit: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        found.gpu()


def test_capture_records_launches_and_frees() -> None:
    found, library = driver()
    enqueued: list[int] = []
    graph = found.capture(5, lambda: enqueued.append(1))
    assert isinstance(graph, CudaGraph)
    graph.launch(5)
    graph.close()
    graph.close()
    assert enqueued == [1]
    assert library.called == [
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]


def test_stream_leaves_capture_when_the_work_fails() -> None:
    found, library = driver()

    def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        found.capture(5, refuse)
    assert library.called == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]


def test_capture_that_cuda_refuses_is_said_and_leaves_nothing() -> None:
    found, library = driver(cuStreamEndCapture=901)
    with pytest.raises(DriverError, match="cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        found.capture(5, lambda: None)
    found, library = driver(cuGraphInstantiateWithFlags=1)
    with pytest.raises(DriverError, match="cuGraphInstantiateWithFlags"):
        found.capture(5, lambda: None)
    assert library.called.count("cuGraphDestroy") == 1


def test_driver_that_is_too_old_is_said() -> None:
    with pytest.raises(DriverError, match=r"older than CUDA 11\.4: it lacks cuInit"):
        Driver(object())


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here")
def test_machine_without_a_driver() -> None:
    with pytest.raises(DriverError):
        load_driver().gpu()
