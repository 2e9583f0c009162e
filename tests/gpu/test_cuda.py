"""What a machine has and lacks: each lack is named with the line that mends it, on machines made up for the purpose."""

import ctypes
import ctypes.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import minilinear as ml
from minilinear import backend, gpu
from minilinear.cli.doctor import findings
from minilinear.errors import BackendError
from minilinear.gpu import cuda

PIP = r"pip install 'minilinear\[gpu\]'"
PIP12 = r"pip install 'minilinear\[gpu-cuda12\]'"
FULL = {
    "driver": 13020,
    "devices": 1,
    "wheels": {"cupy-cuda13x": "14.2.0"},
    "nvrtc": Path("libnvrtc.so.13"),
    "without": (),
}


@pytest.fixture
def machine(monkeypatch):
    """Make up a machine: `machine(driver=..., wheels=...)` is a complete one but for that."""

    def made(**changes):
        has = FULL | changes
        monkeypatch.setattr(cuda, "driver", lambda: has["driver"])
        monkeypatch.setattr(cuda, "devices", lambda: has["devices"])
        monkeypatch.setattr(cuda, "cupy_wheels", lambda: dict(has["wheels"]))
        monkeypatch.setattr(cuda, "nvrtc", lambda: has["nvrtc"])
        monkeypatch.setattr(cuda, "nvrtc_version", lambda file: "13.2")
        paths = {name: None if name in has["without"] else Path(name) for name in cuda.HEADERS}
        monkeypatch.setattr(cuda, "headers", lambda: paths)
        runtime = SimpleNamespace(memGetInfo=lambda: (60e9, 80e9))
        monkeypatch.setattr(cuda, "cupy", lambda: SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))

    return made


LACKS = [
    ({"driver": None}, r"no CUDA driver \(.*\)\.\n  fix: the driver of your NVIDIA GPU"),
    ({"driver": None, "wheels": {}}, rf"no CUDA driver.*; CuPy is not installed\.\n  fix: the driver.*; {PIP}"),
    ({"driver": 11080}, r"the driver speaks CUDA 11\.8\.\n  fix: a driver for CUDA 12 or 13"),
    ({"devices": 0}, r"the driver sees no GPU\.\n  fix: CUDA_VISIBLE_DEVICES.*"),
    ({"wheels": {}}, rf"CuPy is not installed\.\n  fix: {PIP}"),
    ({"wheels": {}, "driver": 12040}, rf"CuPy is not installed\.\n  fix: {PIP12}"),
    (
        {"wheels": {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.2.0"}},
        rf"cupy-cuda12x and cupy-cuda13x are both installed\.\n  fix: pip uninstall -y \S+ \S+ && {PIP}",
    ),
    (
        {"driver": 12090},
        rf"cupy-cuda13x does not run on a driver for CUDA 12\.9\.\n  fix: pip uninstall -y cupy-cuda13x && {PIP12}",
    ),
    (
        {"wheels": {"cupy-cuda13x": "13.6.0"}},
        r"13\.6\.0 is older than 14\.\n  fix: pip install -U 'minilinear\[gpu\]'",
    ),
    (  # a newer one of the other kind would lie beside it, and overwrite it
        {"wheels": {"cupy-cuda12x": "13.6.0"}},
        rf"13\.6\.0 is older than 14\.\n  fix: pip uninstall -y cupy-cuda12x && {PIP}",
    ),
    ({"nvrtc": None}, rf"NVRTC is not installed\.\n  fix: {PIP}"),
    ({"nvrtc": None, "wheels": {"cupy-cuda12x": "14.2.0"}}, rf"NVRTC is not installed\.\n  fix: {PIP12}"),
    (
        {"nvrtc": None, "wheels": {"cupy": "14.2.0"}},
        rf"NVRTC is not installed\.\n  fix: pip uninstall -y cupy && {PIP}",
    ),
    ({"without": ("crt/mma.h",)}, rf"crt/mma\.h is not installed\.\n  fix: {PIP}"),
]


@pytest.mark.parametrize(("changes", "said"), LACKS)
def test_each_lack_is_named_with_the_line_that_mends_it(machine, changes, said):
    machine(**changes)
    with pytest.raises(BackendError, match=rf"The backend cupy cannot run here: .*{said}\n  help: .* backend$"):
        ml.use("cupy")


@pytest.mark.parametrize("changes", [{}, {"wheels": {"cupy-cuda12x": "14.0.1"}}])
def test_a_complete_machine_is_taken(machine, changes):
    """A driver for CUDA 13 runs what was built for CUDA 12."""
    machine(**changes)
    gpu.check_available("cupy")


def test_without_a_compiler_kernels_do_not_run_on_the_processor(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BackendError, match=r"C\+\+ compiler.*\n.*\n  fix: (apt install g\+\+|xcode-select)"):
        ml.use("cpucuda")


@pytest.mark.parametrize("command", ["no-such-compiler -O1", " "])
def test_a_compiler_that_is_named_and_not_there_is_told_by_the_name_of_the_setting(monkeypatch, command):
    monkeypatch.setenv("MINILINEAR_CXX", command)
    with pytest.raises(BackendError, match=r"C\+\+ compiler.*\n  got: no.*\n  fix: MINILINEAR_CXX is a command"):
        ml.use("cpucuda")


def test_this_machine_answers_every_question():
    version = cuda.driver()
    assert version is None or version > 9000
    assert (cuda.devices() > 0) <= (version is not None)
    assert all(name.startswith("cupy") for name in cuda.cupy_wheels())
    assert set(cuda.headers()) == set(cuda.HEADERS)
    assert cuda.nvrtc() is None or cuda.nvrtc().exists()


def test_the_driver_is_asked_for_its_version(monkeypatch):
    def version(at):
        at._obj.value = 12080
        return 0

    def count(at):
        at._obj.value = 3
        return 0

    library = SimpleNamespace(cuDriverGetVersion=version, cuInit=lambda flags: 0, cuDeviceGetCount=count)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert (cuda.driver(), cuda.devices(), cuda.spelled(12080), cuda.extra_for(12080)) == (
        12080,
        3,
        "12.8",
        "gpu-cuda12",
    )
    library.cuInit = lambda flags: 100  # no device
    assert cuda.devices() == 0


def test_packages_are_found_whatever_their_spelling(monkeypatch):
    names = {"cupy_cuda13x": "14.2", "CuPy": "13.0", "cupy-rocm-7-0": "14.0", "cupyx-thing": "1", "numpy": "2"}
    packages = [SimpleNamespace(metadata={"Name": name}, version=version) for name, version in names.items()]
    monkeypatch.setattr(cuda.metadata, "distributions", lambda: packages)
    assert cuda.cupy_wheels() == {"cupy-cuda13x": "14.2", "cupy": "13.0", "cupy-rocm-7-0": "14.0"}


@pytest.mark.parametrize(
    ("files", "toolkit"),
    [
        (("cu13/lib/libnvrtc.so.13", "cu13/include/crt/mma.h"), "13"),
        (("cuda_nvrtc/lib/libnvrtc.so.12", "cuda_nvcc/include/crt/mma.h"), "12"),
    ],
)
def test_nvrtc_and_headers_are_found_in_nvidias_wheels(monkeypatch, tmp_path, files, toolkit):
    for name in files:
        (tmp_path / "nvidia" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "nvidia" / name).touch()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert cuda.nvrtc().name == f"libnvrtc.so.{toolkit}"
    assert tmp_path in cuda.headers()["crt/mma.h"].parents


def rows():
    return {row.what: row for row in cuda.rows()}


def test_doctor_tells_what_a_gpu_has(machine, monkeypatch):
    machine()
    monkeypatch.setenv("CUPY_TF32", "1")
    found = rows()
    assert found["CUDA driver"].found == "CUDA 13.2, 1 GPU, wants minilinear[gpu]"
    assert found["CuPy"].found == "cupy-cuda13x 14.2.0"
    assert found["GPU memory"].found == "60.0 of 80.0 GB free"
    assert found["TF32"].found.startswith("on")
    assert {row.state for row in found.values() if row.what != "C++ compiler"} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "what", "state"),
    [
        ({"wheels": {}}, "CuPy", "missing"),
        ({"wheels": {}, "nvrtc": None}, "NVRTC", "missing"),
        ({"nvrtc": None}, "NVRTC", "wrong"),
        ({"without": ("cuda_fp16.h",)}, "CUDA headers", "wrong"),
        ({"wheels": {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.2.0"}}, "CuPy", "wrong"),
        ({"driver": 12090}, "CuPy", "wrong"),
        ({"driver": None, "wheels": {}}, "CUDA driver", "missing"),
        ({"driver": 11040}, "CUDA driver", "wrong"),
        ({"driver": 11040, "wheels": {}}, "CUDA driver", "missing"),
        ({"devices": 0}, "CUDA driver", "wrong"),
        ({"wheels": {"cupy-cuda13x": "13.6.0"}}, "CuPy", "wrong"),
    ],
)
def test_doctor_tells_what_is_missing_from_what_is_wrong(machine, changes, what, state):
    machine(**changes)
    found = rows()
    assert found[what].state == state
    assert "GPU memory" not in found
    assert "pip install" in found[what].fix or what == "CUDA driver"
    assert found[what].fix
    assert "None" not in found[what].found


def test_doctor_asks_nvrtc_itself(machine, monkeypatch, tmp_path):
    """A file of its name is not enough: one that is broken, and one that is another library, are told."""
    asked = cuda.nvrtc_version
    machine()
    assert rows()["NVRTC"].found == "13.2, libnvrtc.so.13"
    monkeypatch.setattr(cuda, "nvrtc_version", asked)
    broken = tmp_path / "libnvrtc.so.13"
    broken.write_bytes(b"half a file")
    for file in (broken, Path(ctypes.util.find_library("c") or "libc.so.6")):
        machine(nvrtc=file)
        monkeypatch.setattr(cuda, "nvrtc_version", asked)
        row = rows()["NVRTC"]
        assert row.state == "wrong" and row.found.startswith(f"{file} does not load: ")
        assert row.fix == "pip install --force-reinstall 'minilinear[gpu]'"


def test_doctor_speaks_of_a_cupy_that_does_not_start(machine, monkeypatch):
    machine()

    def broken():
        raise ImportError("libcublas.so.13: cannot open shared object file")

    monkeypatch.setattr(cuda, "cupy", broken)
    assert rows()["GPU memory"].state == "wrong"


def test_doctor_lives_without_a_compiler_and_under_a_backend_that_is_not_there(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setenv("MINILINEAR_BACKEND", "cpucuda")
    monkeypatch.setattr(backend, "_from_environment", backend._from_environment.__wrapped__)
    assert rows()["C++ compiler"].state == "missing"
    (found,) = (finding for finding in findings() if finding.what == "backend")
    assert found.state == "wrong"
    assert "g++" in found.fix or "xcode" in found.fix
    json.dumps([row._asdict() for row in cuda.rows()])
