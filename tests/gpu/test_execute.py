"""What the launcher tells CuPy."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from minilinear.errors import BackendError, CompileError
from minilinear.gpu import launch
from tests.gpu import fake_gpu
from tests.gpu.test_launch import descend, f32, ones, repeat, scale, shared_total, weighted


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The kernels of rules.cu are those of the file, for the module that is made of it."""
    monkeypatch.setattr(launch, "KERNELS", {k.name: k for k in (scale, weighted, descend, repeat, shared_total)})


@pytest.fixture
def gpu():
    with fake_gpu.installed() as found:
        yield found


def test_arrays_of_the_gpu_run_there_with_numbers_of_the_kernels_types(gpu):
    x = gpu.array(ones(3, 50))
    y = scale(x=x, factor=2)
    stream, name, grid, block, arguments, shared = gpu.launches.pop()
    assert (stream, name, grid, block, shared) == ("default", "scale", (5,), (32,), 0)
    assert arguments[0] is x and arguments[1] is y and y.shape == (3, 50) and y.dtype == f32
    assert [(type(n), n) for n in arguments[2:]] == [(f32, 2), (np.int32, 3), (np.int32, 50)]


def test_none_is_a_null_pointer_of_eight_bytes(gpu):
    weighted(x=gpu.array(ones(2, 3)), weight=None)
    weight = gpu.launches[0][4][1]
    assert weight == 0 and weight.dtype.itemsize == 8


def test_a_file_is_one_module_with_every_name_and_is_compiled_once_for_each_device(gpu):
    for device in (0, 1, 0, 1):
        gpu.current = device
        x = gpu.array(ones(2, 3))
        scale(x=x, factor=1)
        descend(p=gpu.array(ones(4)), g=gpu.array(ones(4)), lr=1)
        repeat(x=gpu.array(ones(4)), times=3, negative=False)
    made = [told for told in gpu.told if told[0] == "module"]
    assert len(made) == 2 and len(gpu.launches) == 12
    _, code, options, names = made[0]
    assert names == ("scale", "weighted", "descend", "repeat<float, 2>", "repeat<float, 3>", "shared_total")
    assert code.startswith('#line 1 "rules.cu"') and "#include" not in code
    assert options == launch.OPTIONS == ("-std=c++17",)


def test_the_stream_is_asked_for_at_each_launch(gpu):
    x = gpu.array(ones(2, 3))
    for stream in ("default", "first", "second"):
        gpu.stream = stream
        scale(x=x, factor=1)
    assert [told[0] for told in gpu.launches] == ["default", "first", "second"]


def test_more_shared_memory_is_asked_for_once(gpu):
    large = replace(shared_total, shared=100 * 1024, large_shared=True)
    for _ in range(3):
        large(x=gpu.array(ones(5)))
    shared_total(x=gpu.array(ones(5)))
    assert [told for told in gpu.told if told[0] != "module"] == [
        ("max_dynamic_shared_size_bytes", "shared_total", 100 * 1024)
    ]
    with pytest.raises(ValueError, match="232448 bytes of shared memory at most"):
        replace(large, shared=228 * 1024)(x=gpu.array(ones(5)))


def test_arrays_of_another_gpu_are_refused(gpu):
    x = gpu.array(ones(2, 3))
    gpu.current = 1
    with pytest.raises(BackendError, match=r"current GPU, 1.\n  got: x on GPU 0\n  fix: with cupy.cuda.Device"):
        scale(x=x, factor=1)


def test_wrong_calls_are_refused_there_too(gpu):
    x, p = gpu.array(ones(4, 4)), gpu.array(ones(8))
    with pytest.raises(ValueError, match=r"contiguous.*\n.*\n  fix: cupy\.ascontiguousarray"):
        scale(x=x[:, ::2], factor=1)
    with pytest.raises(ValueError, match="must share no memory"):
        descend(p=p[2:], g=p[:6], lr=1)
    with pytest.raises(TypeError, match="must be an array of float32"):
        scale(x=gpu.array(np.ones((2, 2))), factor=1)
    assert not gpu.launches


def test_debug_waits_and_a_failure_names_the_kernel(gpu, monkeypatch):
    x = gpu.array(ones(2, 3))
    scale(x=x, factor=1)
    assert not any(told[0] == "wait" for told in gpu.told)
    gpu.fails = True
    with pytest.raises(
        BackendError, match=r"scale failed on the GPU, grid .*\n  got: CUDA_ERROR.*\n  fix: MINILINEAR_D"
    ):
        scale(x=x, factor=1)
    gpu.fails = False
    monkeypatch.setenv("MINILINEAR_DEBUG", "1")
    scale(x=x, factor=1)
    assert gpu.told[-1] == ("wait", "default")


def test_a_compile_error_shows_the_line_of_the_kernel_file(gpu):
    gpu.log = "rules.cu(7): error: expected a ';'"
    with pytest.raises(CompileError, match=r"(?s)rules.cu does not compile for GPU 0.\nrules.cu:7: error.*>    7 \| "):
        scale(x=gpu.array(ones(2, 3)), factor=1)


def test_a_kernel_that_needs_a_later_gpu_says_so(gpu):
    gpu.capability = "75"
    later = replace(scale, arch=80)
    with pytest.raises(BackendError, match=r"scale needs compute capability 8\.0\.\n  got: GPU 0 has 75"):
        later(x=gpu.array(ones(2, 3)), factor=1)


def test_outputs_are_nan_before(gpu):
    assert np.isnan(scale(x=gpu.array(ones(2, 3)), factor=1).values).all()


def test_nothing_is_launched_for_nothing(gpu):
    assert scale(x=gpu.array(ones(0, 3)), factor=1).shape == (0, 3)
    assert not gpu.launches


def test_the_launcher_does_not_load_cupy():
    assert "cupy" not in sys.modules or hasattr(sys.modules["cupy"], "__file__")
