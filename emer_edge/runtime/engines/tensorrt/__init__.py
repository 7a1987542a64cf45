"""TensorRT: plans built on the machine that runs them, kept in the user's cache, run with page-locked buffers.

One builder drives NVIDIA's packages `tensorrt` (8.6, 10, 11) and `tensorrt_rtx`; what differs between them is found
in the package (`toolkit`), never by its version. Importing this package needs neither, nor pycuda, nor a GPU.
"""
