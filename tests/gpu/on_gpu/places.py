"""The two places where kernels run, seen alike: a GPU through CuPy, and this processor through the simulator.

A GPU works on while Python goes on, so time is taken by events in its own stream; what it read lately lies in its L2
cache, so a measurement says whether that was emptied before.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.backend import to_numpy
from minilinear.gpu.sim.compile import find_compiler, version

FLUSH = 256 << 20  # bytes that are written to empty an L2 cache: more than any GPU has

SMI = (  # what nvidia-smi is asked for before and after each section
    "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "utilization.gpu", "clocks_throttle_reasons.active",
)  # fmt: skip
SMI_ONCE = ("driver_version", "power.limit", "ecc.mode.current", "mig.mode.current", "persistence_mode", "pci.bus_id")


def command(*words: str) -> str | None:
    """What a program prints; None if it is not there or fails."""
    if shutil.which(words[0]) is None:
        return None
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def smi(gpu: str, *fields: str) -> dict[str, str] | None:
    """What nvidia-smi says about the GPU that CuPy uses; a field that an old driver does not know is left out."""
    found = {}
    for field in fields:
        answer = command("nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", f"--id={gpu}")
        if answer:
            found[field] = answer
    return found or None


class Processor:
    """This processor. Its times say nothing about a GPU: they prove that the script runs."""

    name = "cpucuda"
    full_size = False  # shapes are those of a demonstration

    def __init__(self) -> None:
        with self.backend:  # says what is missing
            pass

    @property
    def backend(self) -> ml.use:
        """Chosen for a block: with place.backend: ..."""
        return ml.use(self.name)

    def describe(self) -> dict[str, Any]:
        compiler = find_compiler()
        return {
            "device": f"simulated on {self.which()}",
            "compiler": version(compiler).partition("\n")[0],
        }

    def which(self) -> str:
        """One device among others: a record is of one."""
        about = Path("/proc/cpuinfo")
        lines = about.read_text("utf-8").splitlines() if about.is_file() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return f"{models[0] if models else platform.processor() or platform.machine()}, {os.cpu_count()} cores"

    def state(self) -> dict[str, Any] | None:
        return {"load": os.getloadavg()[0]}

    def software(self) -> dict[str, Any]:
        return {}

    def here(self, x: np.ndarray) -> Any:
        """An array of this place."""
        return x

    def numbers(self, x: Any) -> np.ndarray:
        """Back as a NumPy array."""
        return to_numpy(x)

    def wait(self) -> None:
        """Until all work is done."""

    def flush(self) -> None:
        """Empty the cache."""

    def forget(self) -> None:
        """Give memory back that nothing uses any more: what a pool holds later is of what ran after this."""

    def memory(self) -> dict[str, int]:
        """What a GPU holds: CuPy's pool, which keeps what it once had, and the device as a whole."""
        return {}

    def seconds(self, do: Callable[[], Any], *, warm_up: int, repeats: int, cold: bool) -> list[float]:
        """How long each of the repeats took."""
        for _ in range(warm_up):
            do()
        found = []
        for _ in range(repeats):
            began = time.perf_counter()
            do()
            found.append(time.perf_counter() - began)
        return found

    def device_seconds(self, do: Callable[[], Any], *, hold: float) -> tuple[Any, float, bool]:
        """What a function gives, how long the device works for it, and whether it had to wait for the host meanwhile.

        Args:
            hold: keep the device busy so long before: Python should have queued everything then.
        """
        began = time.perf_counter()
        out = do()
        return out, time.perf_counter() - began, False


class Gpu(Processor):
    """The GPU that is current to CuPy."""

    name = "cupy"
    full_size = True

    def __init__(self) -> None:
        self.cache = Path(tempfile.mkdtemp(prefix="run_on_gpu-"))  # of compiled kernels: CuPy asks when it is imported
        atexit.register(shutil.rmtree, self.cache, ignore_errors=True)
        os.environ["CUPY_CACHE_DIR"] = str(self.cache)
        super().__init__()
        import cupy

        self.cupy, self.device = cupy, cupy.cuda.Device()
        self._flushed: Any = None
        self._spin: Any = None

    def describe(self) -> dict[str, Any]:
        runtime = self.cupy.cuda.runtime
        about = runtime.getDeviceProperties(self.device.id)
        free, total = runtime.memGetInfo()
        processes = command("nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader")
        return {
            "device": about["name"].decode(),
            "compute_capability": self.device.compute_capability,
            "multiprocessors": about["multiProcessorCount"],
            "memory_bytes": total,
            "free_bytes": free,
            "l2_bytes": about["l2CacheSize"],
            "shared_per_block_optin": self.device.attributes["MaxSharedMemoryPerBlockOptin"],
            "host": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "nvidia_smi": smi(self.device.pci_bus_id, *SMI_ONCE),
            "processes": (processes or "").splitlines(),
        }

    def which(self) -> str:
        name = self.cupy.cuda.runtime.getDeviceProperties(self.device.id)["name"].decode()
        return f"{name} at {self.device.pci_bus_id}"

    def software(self) -> dict[str, Any]:
        runtime = self.cupy.cuda.runtime
        nvrtc = self.cupy.cuda.nvrtc.getVersion()
        found = {
            "cupy": self.cupy.__version__,
            "cuda_driver": runtime.driverGetVersion(),
            "cuda_runtime": runtime.runtimeGetVersion(),
            "nvrtc": f"{nvrtc[0]}.{nvrtc[1]}",
        }
        with contextlib.suppress(Exception):  # a library that is not installed is no reason to stop
            found["cublas"] = self.cupy.cuda.cublas.getVersion(self.cupy.cuda.device.get_cublas_handle())
        return found

    def state(self) -> dict[str, Any] | None:
        return smi(self.device.pci_bus_id, *SMI)

    def here(self, x: np.ndarray) -> Any:
        return self.cupy.asarray(x)

    def wait(self) -> None:
        self.cupy.cuda.get_current_stream().synchronize()

    def flush(self) -> None:
        if self._flushed is None:
            self._flushed = self.cupy.empty(FLUSH, self.cupy.uint8)
        self._flushed.fill(0)

    def forget(self) -> None:
        self._flushed = None
        gc.collect()
        self.cupy.get_default_memory_pool().free_all_blocks()

    def memory(self) -> dict[str, int]:
        free, total = self.cupy.cuda.runtime.memGetInfo()
        return {"pool_bytes": self.cupy.get_default_memory_pool().total_bytes(), "device_bytes": total - free}

    def seconds(self, do: Callable[[], Any], *, warm_up: int, repeats: int, cold: bool) -> list[float]:
        event = self.cupy.cuda.Event
        for _ in range(warm_up):
            do()
        pairs = []
        for _ in range(repeats):
            if cold:
                self.flush()
            begun, ended = event(), event()
            begun.record()
            do()
            ended.record()
            pairs.append((begun, ended))
        self.wait()
        return [self.cupy.cuda.get_elapsed_time(begun, ended) * 1e-3 for begun, ended in pairs]

    def device_seconds(self, do: Callable[[], Any], *, hold: float) -> tuple[Any, float, bool]:
        if self._spin is None:
            self._spin = self.cupy.RawKernel((Path(__file__).parent / "spin.cu").read_text("utf-8"), "spin")
        begun, ended = (self.cupy.cuda.Event() for _ in range(2))
        self._spin((1,), (1,), (np.int64(hold * 1e9),))
        begun.record()
        out = do()
        late = begun.done
        ended.record()
        ended.synchronize()
        return out, self.cupy.cuda.get_elapsed_time(begun, ended) * 1e-3, late


PLACES = {"cupy": Gpu, "cpucuda": Processor}
