"""Compiling: what the compiler complains about, the cache that others use too, and what is missing."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minilinear.errors import BackendError, CompileError
from minilinear.gpu import sim

compiling = importlib.import_module("minilinear.gpu.sim.compile")  # sim.compile is the function
TEXT = """extern "C" __global__ void fill(float* y) { y[threadIdx.x] = VALUE; }"""


def value_of(program, name="fill"):
    y = np.zeros(4, np.float32)
    program.launch(name, 1, 4, [y])
    return y[0]


# ---- complaints


def complaint(text, names=("k",), **options):
    with pytest.raises(CompileError) as refused:
        sim.compile(text, names, **options)
    return str(refused.value)


def test_an_error_is_shown_in_the_kernels_own_lines():
    text = 'extern "C" __global__ void k(float* y) {\n  int i = threadIdx.x;\n  y[i] = missing(i);\n}\n'
    words = complaint(text, file="mine.cu")
    assert "mine.cu:3: 'missing' was not declared" in words or "mine.cu:3: use of undeclared" in words
    assert "  >    3 |   y[i] = missing(i);" in words and "       2 |   int i = threadIdx.x;" in words
    assert "cudasim" not in words


def test_an_error_in_a_header_of_the_kernels_has_the_headers_name(tmp_path):
    (tmp_path / "helper.cuh").write_text("__device__ float helper()\n{\n    return wrong;\n}\n", "utf-8")
    text = '#include "helper.cuh"\nextern "C" __global__ void k(float* y) { y[0] = helper(); }'
    assert "helper.cuh:3: " in complaint(text, include=[tmp_path])


def test_an_error_inside_the_simulator_is_shown_where_the_kernel_led_there():
    text = 'struct Big { double a[3]; };\nextern "C" __global__ void k(float* y) {\n  __shfl_sync(~0u, Big(), 0);\n}'
    words = complaint(text)
    assert "kernel.cu:3: " in words and "a shuffle moves at most 8 bytes a lane" in words


@pytest.mark.parametrize("spelling", ["asm", "__asm__", "asm volatile"])
def test_inline_ptx_is_refused(spelling):
    text = (
        f'extern "C" __global__ void k(int* y) {{\n  int i;\n  {spelling}("mov.u32 %0, 1;" : "=r"(i));\n  y[0] = i;\n}}'
    )
    words = complaint(text)
    assert "kernel.cu:3: " in words and "inline PTX never runs on the CPU" in words


def test_inline_ptx_may_have_a_twin():
    text = """extern "C" __global__ void k(float* y) {
        #ifndef MINILINEAR_SIM
        asm volatile("st.global.f32 [%0], 1.0;" :: "l"(y));
        #else
        y[0] = 1.0f;  // asm("...") in a comment is no harm
        #endif
    }"""
    assert value_of(sim.compile(text, ["k"]), "k") == 1


def test_dynamic_shared_memory_is_declared_in_a_function():
    assert "kernel.cu:2: dynamic shared memory" in complaint("\nextern __shared__ float s[];\n__global__ void k() {}")


def test_a_name_that_is_no_kernel():
    assert "'nothing'" in complaint('extern "C" __global__ void k(float* y) {}', ["nothing"])


@pytest.mark.parametrize("compiler", [command for command in ("g++", "clang++") if shutil.which(command)])
@pytest.mark.parametrize("check", [False, True])
def test_static_shared_memory_has_a_limit(check, compiler):
    text = """template <int N> __device__ __noinline__ float sum(float v) {
        __shared__ float part[N];
        part[threadIdx.x] = v;
        return part[N - 1 - threadIdx.x];
    }
    __constant__ float table[20000];
    template <int N> __global__ void one(float* y) {
        __shared__ float own[8192];
        static const int numbers[3] = {1, 2, 3};
        own[threadIdx.x] = y[0] + table[threadIdx.x];
        y[0] = own[8191 - threadIdx.x] + sum<N>(y[1]) + numbers[threadIdx.x];
    }
    __global__ void two(float* y) { __shared__ float other[12288]; other[threadIdx.x] = y[0]; y[1] = other[7]; }"""
    sim.compile(text, ["one<4096>", "two"], check=check, compiler=compiler)  # 48 KB each
    words = complaint(text, ["two", "one<4097>"], check=check, compiler=compiler)
    assert "'one<4097>' has more than 49152 bytes of static shared memory" in words
    assert "got: 49156 bytes" in words and "own 32768" in words and "part 16388" in words


# ---- the cache


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache folder with the runtime in it, so that it is not compiled again."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for check in (False, True):
        runtime = compiling.runtime(compiling.find_compiler(), check).parent
        (folder / runtime.name).symlink_to(runtime)
    monkeypatch.setenv("MINILINEAR_CACHE", str(folder))
    return folder


def test_a_program_is_compiled_once(own_cache, monkeypatch):
    text = TEXT.replace("VALUE", "1.5f")
    first = sim.compile(text, ["fill"])
    assert sim.compile(text, ["fill"]) is first
    sim._programs.clear()
    monkeypatch.setattr(compiling, "_compile", lambda *_: pytest.fail("compiled again"))
    again = sim.compile(text, ["fill"])
    assert again is not first and again.path == first.path
    assert value_of(again) == 1.5


def test_another_text_header_or_flag_is_another_program(own_cache, tmp_path):
    paths = {sim.compile(TEXT.replace("VALUE", value), ["fill"]).path for value in ("1", "2")}
    header = tmp_path / "value.cuh"
    for value in ("3", "4", "3"):
        header.write_text(f"#define VALUE {value}\n", "utf-8")
        os.utime(header, ns=(0, int(value) * 10**9))  # the clock may be too coarse to tell two writes apart
        program = sim.compile('#include "value.cuh"\n' + TEXT, ["fill"], include=[tmp_path])
        assert value_of(program) == float(value)
        paths.add(program.path)
    name = Path(paths.pop()).parent.name
    assert len(paths) == 3 and {path.parent.name for path in paths}.isdisjoint({name})


@pytest.mark.parametrize("damage", ["truncated", "empty", "no digest", "another"])
def test_a_damaged_entry_is_built_again(own_cache, damage):
    text = TEXT.replace("VALUE", "2.5f")
    path = sim.compile(text, ["fill"]).path
    copy = path.read_bytes()
    path.unlink()  # a library in use is not written to: this process has it mapped
    path.write_bytes({"truncated": copy[:5000], "empty": b"", "another": b"x" * len(copy)}.get(damage, copy))
    if damage == "no digest":
        (path.parent / "digest").unlink()
    sim._programs.clear()
    assert value_of(sim.compile(text, ["fill"])) == 2.5
    assert path.stat().st_size == len(copy)
    assert not list(own_cache.glob("new-*")) + list(own_cache.glob("old-*"))


@pytest.mark.parametrize("state", ["as they were", "damaged", "gone"])
def test_headers_that_are_parsed_already_are_used_if_they_can_be(own_cache, monkeypatch, state):
    if "clang" in compiling.version(compiling.find_compiler()):
        pytest.skip("only g++ has them")
    own = compiling.runtime(compiling.find_compiler(), check=False).parent
    made = own.resolve()
    own.unlink()
    shutil.copytree(made, own)
    if state == "damaged":
        (own / compiling.PARSED).write_bytes(b"gpch")
    if state == "gone":
        (own / compiling.PARSED).unlink()
    commands, run = [], compiling._compile
    monkeypatch.setattr(compiling, "_compile", lambda *call: commands.append(call[1]) or run(*call))
    assert value_of(sim.compile(TEXT.replace("VALUE", "6.5f"), ["fill"])) == 6.5
    used = [Path(command[command.index("-include") + 1]).parent for command in commands if "-include" in command]
    written = compiling.HERE / "include"
    assert used == {"as they were": [own], "damaged": [own, written], "gone": [written]}[state]


def test_findings_have_their_lines_when_the_cache_has_been_deleted(own_cache):
    text = """extern "C" __global__ void k(float* y) {
  __shared__ float s[4], t[4];
  float* p = s;
  p[threadIdx.x + 1] = y[0];
}"""
    program = sim.compile(text, ["k"], check=True)
    shutil.rmtree(own_cache)
    (finding,) = program.launch("k", 1, 4, [np.zeros(4, np.float32)]).findings
    assert (finding.line, finding.array, finding.element) == (4, "s", (4,))


def test_processes_that_compile_the_same_at_once_agree(own_cache):
    code = f"""
import numpy as np
from minilinear.gpu import sim
y = np.zeros(4, np.float32)
sim.compile({TEXT.replace("VALUE", "3.5f")!r}, ["fill"]).launch("fill", 1, 4, [y])
assert y[0] == 3.5
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    assert len([entry for entry in own_cache.iterdir() if not entry.name.startswith("runtime")]) == 1


def test_a_cache_that_cannot_be_written_says_which_variable_moves_it(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("MINILINEAR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BackendError, match=r"cannot be written[^$]*set MINILINEAR_CACHE"):
        sim.compile(TEXT.replace("VALUE", "0"), ["fill"])


# ---- what is missing


def test_without_a_compiler_one_line_says_how_to_get_one(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("MINILINEAR_CXX", raising=False)
    with pytest.raises(BackendError, match=r"finds none[^$]*(apt install g\+\+|xcode-select --install)"):
        sim.compile(TEXT, ["fill"])


def test_a_compiler_that_is_not_there_is_named(monkeypatch):
    with pytest.raises(BackendError, match="no command 'nonesuch'"):
        sim.compile(TEXT, ["fill"], compiler="nonesuch -O2")
    monkeypatch.setenv("MINILINEAR_CXX", "nonesuch-2")
    with pytest.raises(BackendError, match="no command 'nonesuch-2'"):
        sim.compile(TEXT, ["fill"])


def test_windows_is_shown_the_way_to_wsl(monkeypatch):
    monkeypatch.setattr(compiling.sys, "platform", "win32")
    with pytest.raises(BackendError, match="WSL"):
        sim.compile(TEXT, ["fill"])
