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
import shlex
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BackendError
from .sim.compile import cache_folder, find_compiler
from .sim.compile import version as compiler_version

DRIVER = {"win32": "nvcuda.dll"}.get(sys.platform, "libcuda.so.1")
NVRTC = re.compile(r"libnvrtc\.so(\.[0-9]+)*|nvrtc64_[0-9]+_[0-9]+\.dll")
EXTRA_OF = {"cupy-cuda13x": "gpu", "cupy-cuda12x": "gpu-cuda12"}
SEE_ONE = "CUDA_VISIBLE_DEVICES, or the container's --gpus option"
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


@cache
def loaded_nvrtc(file: Path) -> Any:
    """The library in a file. OSError: it does not load."""
    # The one of CUDA 13.0 does not look for its second library beside itself.
    for builtins in file.parent.glob("libnvrtc-builtins.so.*"):
        if "alt" not in builtins.name:
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(file))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def nvrtc_version(file: Path) -> str:
    """What the library in a file says it is, "13.0". OSError: it does not load."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    loaded_nvrtc(file).nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


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


def install(version: int | None) -> str:
    """The line that installs CuPy and all it needs, for a driver; for the newest where there is none."""
    return f"pip install 'minilinear[{extra_for(version) or 'gpu'}]'"


def _fits(packages: dict[str, str], version: int) -> bool:
    """Whether the driver can run the CuPy that is installed: it runs what was built for an older CUDA, not a newer."""
    return not ("cupy-cuda13x" in packages and 12000 <= version < 13000)


def _replace(packages: dict[str, str], version: int | None) -> str:
    """The line that puts the right CuPy in the place of these: they share one folder, so all of them have to go."""
    return (f"pip uninstall -y {' '.join(packages)} && " if packages else "") + install(version)


def _complete(packages: dict[str, str], version: int | None) -> str:
    """The line that brings what the installed CuPy lacks: its own extra, for another one brings a second CuPy."""
    extra = EXTRA_OF.get(" ".join(packages))
    stays = extra and (version is None or _fits(packages, version))
    return f"pip install 'minilinear[{extra}]'" if stays else _replace(packages, version)


def _renew(packages: dict[str, str], version: int | None) -> str:
    """The line that brings a newer CuPy: over the one that is there if the right extra has the same, else for it."""
    right = extra_for(version) or "gpu"
    same = [EXTRA_OF.get(name) for name in packages] == [right]
    return f"pip install -U 'minilinear[{right}]'" if same else _replace(packages, version)


def _old(packages: dict[str, str]) -> bool:
    return any(int(number.partition(".")[0]) < 14 for number in packages.values())


def missing_for_cupy() -> list[Missing]:
    """What the backend "cupy" lacks here, the first thing to mend first."""
    version, packages, lacking = driver(), cupy_wheels(), []
    if version is None:
        lacking.append(Missing(f"there is no CUDA driver ({DRIVER})", "the driver of your NVIDIA GPU"))
    elif extra_for(version) is None:
        lacking.append(Missing(f"the driver speaks CUDA {spelled(version)}", "a driver for CUDA 12 or 13"))
    elif not devices():
        lacking.append(Missing("the driver sees no GPU", SEE_ONE))
    if not packages:
        return [*lacking, Missing("CuPy is not installed", install(version))]
    names = " and ".join(packages)
    if len(packages) > 1:
        return [*lacking, Missing(f"{names} are both installed", _replace(packages, version))]
    if version is not None and not _fits(packages, version):
        lacking.append(
            Missing(f"{names} does not run on a driver for CUDA {spelled(version)}", _replace(packages, version))
        )
    if _old(packages):
        lacking.append(Missing(f"{names} {packages[names]} is older than 14", _renew(packages, version)))
    gone = [] if nvrtc() else ["NVRTC"]
    gone += [name for name, path in headers().items() if path is None]
    return [*lacking, *(Missing(f"{name} is not installed", _complete(packages, version)) for name in gone)]


def tensor_float_32() -> bool:
    """Whether CuPy multiplies float32 matrices in TF32, with 10 bits behind the point instead of 23."""
    return os.environ.get("CUPY_TF32", "0") not in ("", "0")


# For `minilinear doctor`.


class Row(NamedTuple):
    """One thing that was looked at: what, how it is, "ok", "missing" (not needed) or "wrong", and what mends it."""

    what: str
    found: str
    state: str = "ok"
    fix: str = ""


def rows() -> list[Row]:
    """Everything that kernels need, on a GPU and on this processor."""
    version, packages = driver(), cupy_wheels()
    lacking = "wrong" if packages else "missing"  # what CuPy needs is missed only by CuPy
    found = [_driver(version, lacking)]
    names = ", ".join(f"{name} {number}" for name, number in packages.items())
    if len(packages) == 1 and (version is None or _fits(packages, version)):
        old = ("wrong", _renew(packages, version)) if _old(packages) else ("ok", "")
        found.append(Row("CuPy", f"{names}, older than 14" if _old(packages) else names, *old))
    else:
        found.append(
            Row("CuPy", names or "not installed", "wrong" if packages else "missing", _replace(packages, version))
        )
    library, gone = nvrtc(), [name for name, path in headers().items() if path is None]
    # Without a GPU NVRTC can still tell whether kernels compile: minilinear kernels compile.
    bring = "pip install 'minilinear[nvrtc]'" if version is None and not packages else _complete(packages, version)
    found.append(_nvrtc(library, bring) if library else Row("NVRTC", "not installed", lacking, bring))
    if gone:
        found.append(Row("CUDA headers", f"without {', '.join(gone)}", lacking, _complete(packages, version)))
    else:
        found.append(Row("CUDA headers", ", ".join(HEADERS)))
    if packages and not missing_for_cupy():
        found.append(_memory())
    how = "on: float32 products keep 10 bits behind the point, not 23" if tensor_float_32() else "off"
    found.append(Row("TF32", f"{how} (CUPY_TF32 changes it)"))
    try:
        compiler = find_compiler()
        found.append(Row("C++ compiler", f"{shlex.join(compiler)}: {compiler_version(compiler).partition(chr(10))[0]}"))
    except BackendError as reason:
        found.append(Row("C++ compiler", "not installed", "missing", str(reason).partition("fix: ")[2]))
    return [*found, Row("compiled kernels", f"{cache_folder()} (MINILINEAR_CACHE changes it)")]


def _driver(version: int | None, lacking: str) -> Row:
    if version is None:
        return Row("CUDA driver", f"none: no {DRIVER}", "missing", "that of your NVIDIA GPU, if there is one")
    extra, count = extra_for(version), devices()
    if extra is None:
        return Row("CUDA driver", f"CUDA {spelled(version)}, too old", lacking, "a driver for CUDA 12 or 13")
    wants = f"CUDA {spelled(version)}, {count} GPU, wants minilinear[{extra}]"
    return Row("CUDA driver", wants) if count else Row("CUDA driver", wants, lacking, SEE_ONE)


def _nvrtc(library: Path, bring: str) -> Row:
    """A file of this name may be half a file, or one for another machine: it has to answer."""
    try:
        return Row("NVRTC", f"{nvrtc_version(library)}, {library}")
    except (OSError, AttributeError) as reason:
        again = bring.replace("pip install", "pip install --force-reinstall", 1)
        return Row("NVRTC", f"{library} does not load: {reason}", "wrong", again)


def _memory() -> Row:
    try:
        free, total = cupy().cuda.runtime.memGetInfo()
    except Exception as reason:  # whatever a broken installation raises
        return Row("GPU memory", f"CuPy does not start: {reason}", "wrong", _replace(cupy_wheels(), driver()))
    return Row("GPU memory", f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free")
