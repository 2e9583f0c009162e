"""What this machine has for running CUDA kernels, and the one line that brings what it lacks.

Each question is a function of its own, answered without importing CuPy where that is possible: a broken installation is
what one asks about. Nothing here is asked before a backend other than "numpy" is chosen, or `minilinear doctor` runs.

    driver 13.x  ->  minilinear[gpu]            cupy-cuda13x
    driver 12.x  ->  minilinear[gpu-cuda12]     cupy-cuda12x
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

DRIVER = {"win32": "nvcuda.dll"}.get(sys.platform, "libcuda.so.1")
NVRTC = re.compile(r"libnvrtc\.so(\.[0-9]+)*|nvrtc64_[0-9]+_[0-9]+\.dll")
HEADERS = ("cuda_fp16.h", "cuda_bf16.h", "crt/mma.h")  # CuPy brings none of them since version 14


class Missing(NamedTuple):
    """Something a backend cannot do without: what, and the line that mends it."""

    what: str
    fix: str


# The driver: what the graphics card came with, and not something that pip can install.


def driver() -> int | None:
    """The newest CUDA that the installed driver speaks, 13000 for 13.0; None without a driver."""
    version = ctypes.c_int()
    library = _driver_library()
    return None if library is None or library.cuDriverGetVersion(ctypes.byref(version)) else version.value


def devices() -> int:
    """How many GPUs the driver sees."""
    count = ctypes.c_int()
    library = _driver_library()
    if library is None or library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _driver_library() -> Any:
    try:
        return ctypes.CDLL(DRIVER)
    except OSError:
        return None


def spelled(version: int) -> str:
    """13020 -> "13.2"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def extra_for(version: int | None) -> str | None:
    """The extra whose CuPy a driver can run; None where there is no driver, or one that is too old."""
    if version is None or version < 12000:
        return None
    return "gpu" if version >= 13000 else "gpu-cuda12"


# CuPy and what it needs beside it.


def cupy_wheels() -> dict[str, str]:
    """The installed packages that hold CuPy, with their versions. There should be one: all write into one folder."""
    found = {}
    for package in metadata.distributions():
        name = (package.metadata["Name"] or "").lower().replace("_", "-")
        if re.fullmatch(r"cupy(-cuda[0-9]+x?|-rocm-[0-9-]+)?", name):
            found[name] = package.version
    return found


def nvrtc() -> Path | None:
    """NVRTC, the library that compiles a kernel when it is first launched."""
    return next(
        (file for folder in _folders("lib*", "bin") for file in folder.iterdir() if NVRTC.fullmatch(file.name)), None
    )


def headers() -> dict[str, Path | None]:
    """Where each header is that kernels for half precision and tensor cores include."""
    includes = _folders("include")
    return {name: next((folder / name for folder in includes if (folder / name).exists()), None) for name in HEADERS}


def _folders(*names: str) -> list[Path]:
    """The folders of these names in every CUDA toolkit there is: NVIDIA's wheels first, as CuPy looks for them."""
    wheels = [Path(folder) / "nvidia" for folder in sys.path if (Path(folder) / "nvidia").is_dir()]
    roots = [root for wheel in wheels for root in sorted(wheel.iterdir(), reverse=True)]
    roots += [
        Path(root) for root in (os.environ.get("CUDA_PATH"), os.environ.get("CONDA_PREFIX"), "/usr/local/cuda") if root
    ]
    return [folder for root in roots for name in names for folder in sorted(root.glob(name)) if folder.is_dir()]


@cache
def cupy() -> Any:
    """The module CuPy. The only place that imports it by name is `backend`; this is for looking at it."""
    return importlib.import_module("cupy")


def missing_for_cupy() -> list[Missing]:
    """What the backend "cupy" lacks here, the first thing to mend first."""
    version, found = driver(), cupy_wheels()
    extra, lacking = extra_for(version), []
    if version is None:
        lacking.append(Missing(f"there is no CUDA driver ({DRIVER})", "the driver of your NVIDIA GPU"))
    elif extra is None:
        lacking.append(Missing(f"the driver speaks CUDA {spelled(version)}", "a driver for CUDA 12 or 13"))
    elif not devices():
        lacking.append(Missing("the driver sees no GPU", "CUDA_VISIBLE_DEVICES, or the container's --gpus option"))
    install = f"pip install 'minilinear[{extra or 'gpu'}]'"
    if len(found) > 1:
        names = " ".join(found)
        again = Missing(f"there are {len(found)} CuPy packages, {names}", f"pip uninstall -y {names} && {install}")
        return [*lacking, again]
    if not found:
        return [*lacking, Missing("CuPy is not installed", install)]
    name, cupy_version = next(iter(found.items()))
    if name == "cupy-cuda13x" and extra == "gpu-cuda12":
        lacking.append(
            Missing(
                f"{name} does not run on a driver for CUDA {spelled(version)}", f"pip uninstall -y {name} && {install}"
            )
        )
    if int(cupy_version.split(".")[0]) < 14:
        lacking.append(Missing(f"{name} {cupy_version} is older than 14", f"pip install -U 'minilinear[{extra}]'"))
    if nvrtc() is None:
        lacking.append(Missing("NVRTC, which compiles kernels, is not installed", install))
    lacking += [Missing(f"the header {name} is not installed", install) for name, at in headers().items() if at is None]
    return lacking


def tensor_float_32() -> bool:
    """Whether CuPy multiplies float32 matrices in TF32, with 10 bits behind the point instead of 23."""
    return os.environ.get("CUPY_TF32", "0") not in ("", "0")


# The compiler, for running kernels on the processor.


def compiler() -> tuple[str, str] | None:
    """A C++ compiler and the first line of its --version; None without one. $CXX comes first."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        path = shutil.which(name) if name else None
        if path:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            return path, said.partition("\n")[0]
    return None


def missing_for_cpucuda() -> list[Missing]:
    """What the backend "cpucuda" lacks here."""
    if sys.platform == "win32":
        return [
            Missing(
                "Windows has no context switch that we use", "WSL: wsl --install, then pip install minilinear there"
            )
        ]
    if compiler() is None:
        fix = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
        return [Missing("there is no C++ compiler", fix)]
    return []
