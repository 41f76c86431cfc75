"""The little of NVIDIA's driver that running an engine needs, by ctypes: memory, copies, one stream, what GPU it is.

`libcuda.so.1` comes with every driver, so nothing has to be installed beside TensorRT. The device's primary context is
used, which TensorRT shares; a context belongs to a thread, so `make_current` goes before work in another one. Names and
values are those of CUDA's driver API reference (cuda.h).
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.edge.engines.errors import EngineError

LIBRARY = "libcuda.so.1"
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_...
NAME_BYTES = 256


class CudaGpu:
    """The first GPU that CUDA_VISIBLE_DEVICES leaves."""

    def __init__(self, library: str = LIBRARY) -> None:
        """Raises:
        EngineError: there is no driver, or no GPU.
        """
        try:
            self._cuda = ctypes.CDLL(library)
        except OSError as error:
            raise EngineError(f"TensorRT needs NVIDIA's driver, and {library} cannot be loaded: {error}") from error
        self._call("cuInit", 0)
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._device = device
        name = ctypes.create_string_buffer(NAME_BYTES)
        self._call("cuDeviceGetName", name, NAME_BYTES, device)
        self.name = name.value.decode("utf-8", "replace")
        major, minor = self._attribute(COMPUTE_CAPABILITY_MAJOR), self._attribute(COMPUTE_CAPABILITY_MINOR)
        self.compute_capability = f"{major}.{minor}"
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        self.driver_version = version.value
        self._context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.make_current()
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self._stream = stream

    @property
    def stream(self) -> int:
        """The handle that TensorRT is given."""
        return int(self._stream.value or 0)

    def make_current(self) -> None:
        """Let this thread use the GPU."""
        self._call("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        """What is free of its memory; on a Jetson that is the board's."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def allocate(self, size_bytes: int) -> int:
        """Memory of the GPU; its address."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        return address.value

    def release(self, address: int) -> None:
        """Give memory back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """To the GPU, in the order of the stream; the array must live until `synchronize`."""
        size = ctypes.c_size_t(array.nbytes)
        source = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, size, self._stream)

    def copy_out(self, array: NDArray[np.float32], address: int) -> None:
        """From the GPU, in the order of the stream; there after `synchronize`."""
        size = ctypes.c_size_t(array.nbytes)
        target = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), size, self._stream)

    def synchronize(self) -> None:
        """Wait for all that was begun on the stream."""
        self._call("cuStreamSynchronize", self._stream)

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        result = getattr(self._cuda, name)(*arguments)
        if result:
            words = ctypes.c_char_p()
            told = self._cuda.cuGetErrorString(result, ctypes.byref(words)) == 0 and words.value
            reason = told.decode("utf-8", "replace") if told else "unknown error"
            raise EngineError(f"the GPU's driver says to {name}: {reason} ({result})")
