"""Kernel exercises: what is found and at which line, in CUDA and in Python, and what a kernel cannot do."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import minilinear
from minilinear.gpu.sim.compile import cache_folder
from minilinear.learn import Course, Judge, Spare, kernel_launch, kernel_text, kernels
from minilinear.learn.assignment import Assignment
from minilinear.learn.check_course import Trusted
from minilinear.learn.exercise import Exercise
from minilinear.learn.grade import Plan, grade, in_its_language
from minilinear.learn.isolated.blocks import run
from minilinear.learn.reports import from_json
from minilinear.learn.show import comparison

pytestmark = pytest.mark.kernels

COURSE = Course()
compiler = pytest.mark.skipif(bool(kernel_launch.missing()), reason="no C++ compiler")


@pytest.fixture(scope="module")
def spare():
    with Trusted() as spare:
        yield spare


@pytest.fixture
def python(monkeypatch):
    """The course as it is where nothing compiles."""
    monkeypatch.setattr(kernel_text, "compiles", lambda: False)
    return Course()


def verdict(exercise, spare, source, **options):
    *_, last = Judge(exercise, spare, source, seconds=20, **options).run()
    return last


def mistake(exercise, name):
    return exercise.variant(next(wrong for wrong in exercise.wrong if wrong["name"] == name))


# ---- the GPU in plain Python


def neighbour(cuda, x, y):
    s, i = cuda.shared("s", 4), cuda.threadIdx.x
    s[i] = x[i]
    y[i] = s[(i + 1) % 4]
    yield


def reverse(cuda, x, y):
    s, i = cuda.shared("s", 4), cuda.threadIdx.x
    s[i] = x[i]
    yield
    y[i] = s[3 - i]
    yield
    s[i] = 0.0


def overwritten(cuda, x, y):
    s, i = cuda.shared("s", 4), cuda.threadIdx.x
    s[i] = x[i]
    yield
    y[i] = s[3 - i]
    s[i] = 0.0


def last_wins(cuda, x, y):
    y[0] = x[cuda.threadIdx.x]


def all_say_one(cuda, x, y):
    y[0] = 1.0


def blocks_meet(cuda, x, y):
    y[cuda.threadIdx.x] = float(cuda.blockIdx.x)


def sees_another_block(cuda, x, y):
    if cuda.blockIdx.x == 0:
        y[cuda.threadIdx.x] = 1.0
    else:
        x[cuda.threadIdx.x] = y[3 - cuda.threadIdx.x]


def reads_then_writes(cuda, x, y):
    s = y[0]
    yield
    if cuda.blockIdx.x == 1 and cuda.threadIdx.x == 0:
        y[0] = s + 1


def behind(cuda, x, y):
    y[cuda.threadIdx.x + 1] = x[cuda.threadIdx.x]


def before(cuda, x, y):
    y[cuda.threadIdx.x] = x[cuda.threadIdx.x - 1]


def unwritten(cuda, x, y):
    s = cuda.shared("s", 4)
    if cuda.threadIdx.x < 3:
        s[cuda.threadIdx.x] = 0.0
    yield
    y[cuda.threadIdx.x] = s[cuda.threadIdx.x]


def two_barriers(cuda, x, y):
    if cuda.threadIdx.x < 2:
        yield
    else:
        yield


def leaves(cuda, x, y):
    if cuda.threadIdx.x == 3:
        return
    yield


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize(
    ("kernel", "grid", "kinds"),
    [
        (reverse, 2, []),
        (all_say_one, 2, []),
        (neighbour, 1, ["race-in-block", "uninitialised-shared"]),
        (overwritten, 1, ["race-in-block"]),
        (last_wins, 1, ["race-in-block"]),
        (blocks_meet, 2, ["race-between-blocks"]),
        (sees_another_block, 2, ["race-between-blocks"]),
        (reads_then_writes, 2, ["race-between-blocks"]),
        (behind, 1, ["out-of-bounds"]),
        (before, 1, ["out-of-bounds"]),
        (unwritten, 1, ["uninitialised-shared"]),
        (two_barriers, 1, ["divergent-barrier"]),
        (leaves, 1, ["skipped-barrier"]),
    ],
)
def test_each_mistake_is_found_whatever_the_order_of_threads(kernel, grid, kinds, seed):
    args = [np.arange(1.0, 5.0, dtype=np.float32), np.zeros(4, np.float32)]
    found = run(kernel, grid, 4, args, seed)
    assert sorted({finding["kind"] for finding in found.findings}) == kinds


def test_a_race_names_both_lines_both_threads_and_the_element():
    reads, writes = run(overwritten, 1, 4, [np.ones(4, np.float32), np.zeros(4, np.float32)]).findings
    first = overwritten.__code__.co_firstlineno
    assert (reads["line"], reads["other"]) == (first + 4, first + 5)
    assert (writes["line"], writes["other"]) == (first + 5, first + 4)
    wrote = f"thread 1 of the same block wrote on line {first + 5}, and no yield lies between the two"
    assert reads["words"] == f"thread 2 reads s[1], which {wrote}"
    assert writes["words"].startswith("thread 2 writes s[2], which thread 1 of the same block read on line")


def test_accesses_are_counted_for_each_thread():
    def square(cuda, x, y):
        i = cuda.threadIdx.x
        y[i] = x[i] * x[i] + x[0]  # x[i] twice in a row is one access
        if i == 0:
            y[0] = 0.0

    counters = run(square, 2, 4, [np.ones(4, np.float32), np.zeros(4, np.float32)]).counters
    assert counters["global_reads"] == [2, 4, 4, 4]
    assert counters["global_writes"] == [4, 2, 2, 2]
    assert counters["shared_reads"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda cuda, x: len(x), "knows no length"),
        (lambda cuda, x: list(x), "one element of it at a time"),
        (lambda cuda, x: x[0, 1], "one whole number"),
        (lambda cuda, x: x[0.5], "one whole number"),
        (lambda cuda, x: x[:2], "one whole number"),
    ],
)
def test_an_array_is_a_pointer(body, words):
    with pytest.raises(TypeError, match=words):
        run(body, 1, 1, [np.zeros(4, np.float32)])


def test_blocks_and_grids_have_three_axes():
    def where(cuda, y):
        t, b = cuda.threadIdx, cuda.blockIdx
        n = (b.y * cuda.gridDim.x + b.x) * 12 + (t.z * cuda.blockDim.y + t.y) * cuda.blockDim.x + t.x
        y[n] = float(n)

    y = np.full(48, np.nan, np.float32)
    assert not run(where, (2, 2), (3, 2, 2), [y]).findings
    np.testing.assert_array_equal(y, np.arange(48))


# ---- texts


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('system("true");', "system"),
        ('const char *p = R"(")"; system("true"); //"', 'R"'),
        ("char32_t c = U'\"'; system(0); // '", "U'"),
        ('fopen64("/tmp/x", "w");', "fopen64"),
        ("write (1, 0, 0);", "write"),
        ("#include <stdlib.h>", "include"),
        ('#include "/etc/passwd"', "include"),
        ("#line 3", "line"),
        ('asm("nop");', "asm"),
        ('extern "C" int getpid();', "extern"),
        ("sys\\\ntem(0);", "\\"),
        ("#define JOIN(a, b) a ## b", "##"),
        ("__attribute__((constructor)) void f() {}", "__attribute__"),
        ("sim_current.linear = 3;", "sim_current"),
        ("char c = '\"'; kill(1, 9); char d = '\"';", "kill"),
        ('/* "*/ fopen("x", "w"); // "', "fopen"),
    ],
)
def test_what_is_no_part_of_a_kernel_is_refused_at_its_line(line, what):
    found = kernel_text.refused(f"// a kernel\n\n{line}\n")
    assert found
    assert found[0] == 3
    assert what in found[1]


@pytest.mark.parametrize("name", [name for name in COURSE.tracks["kernel"]["exercises"] if name != "kernel-2"])
def test_no_kernel_of_the_course_is_refused(name):
    exercise = COURSE[name]
    for text in [exercise.source, exercise.stub(), *(exercise.variant(wrong) for wrong in exercise.wrong)]:
        assert kernel_text.refused(text) is None


def test_of_several_the_first_is_named():
    assert kernel_text.refused('system(0);\nasm("nop");')[0] == 1
    assert kernel_text.refused('asm("nop");\nsystem(0);')[0] == 1


def test_comments_strings_and_the_common_header_are_free():
    text = '#include "common.cuh"\n// system("x")\n#pragma unroll\n#define N 8\nprintf("open %d", 3); /* asm */'
    assert kernel_text.refused(text) is None


def test_a_stub_keeps_all_but_the_body():
    source = "#define N 4\n\n__global__ void f(float *y, int n)\n{\n    if (n) { y[0] = N; }\n}\n\n// end\n"
    stub = kernel_text.stub(source, "f", "kernel-9", "Write.\n\nA line.")
    head, blank, tail = stub.partition('\n#error "kernel-9: your code here"\n')
    assert head == "// Write.\n//\n// A line.\n\n#define N 4\n\n__global__ void f(float *y, int n)\n{"
    assert blank
    assert tail == "}\n\n// end\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("y[0] = k[t, i];", "k[t, i] is k[i] in C: write k[t * LENGTH + i]"),
        ("float S[K] = {};", "the length of an array must be a constant: float S[8]"),
        ("__shared__ float s[2 * K];", "the length of an array must be a constant: float s[8]"),
    ],
)
def test_what_numpy_allows_is_said_at_its_line(line, words):
    number, found = kernel_text.habit(f"// k[t, i]\n{line}\n", ["K", "T"])
    assert (number, found.startswith(words)) == (2, True)


def test_a_constant_length_and_a_comma_between_arguments_are_no_habit():
    assert kernel_text.habit("float S[8], q[MOST_KEYS]; y[i] = f(k[i], x[max(i, 0)]);", ["K"]) is None


# ---- verdicts


@pytest.mark.parametrize("name", ["kernel-1", "kernel-3", "kernel-4", "kernel-6", "kernel-7", "kernel-8"])
def test_in_python_the_solution_passes_and_the_stub_does_not(name, python, spare):
    exercise = python[name]
    assert exercise.file.endswith(".py")
    assert verdict(exercise, spare, exercise.source).passed
    assert not verdict(exercise, spare, exercise.stub()).passed


def test_a_mistake_that_python_does_not_have_is_not_told_of_there(python):
    names = {ex: [wrong["name"] for wrong in ex.wrong] for ex in (COURSE["kernel-6"], python["kernel-6"])}
    with_unwritten = [ex.file for ex in names if "anything at the start" in names[ex]]
    assert with_unwritten == ([COURSE["kernel-6"].file] if COURSE["kernel-6"].file.endswith(".cu") else [])


def test_the_comparison_leaves_the_statement_out():
    exercise = COURSE["kernel-6"]
    lines = [str(line) for line in comparison(exercise.stub(), exercise.source, 80)]
    assert not any("The state S of linear attention" in line for line in lines)


def test_in_python_a_race_is_shown_with_the_learners_lines(python, spare):
    exercise = python["kernel-3"]
    last = verdict(exercise, spare, mistake(exercise, "no barrier in the rounds"))
    assert last.stage == "check"
    assert " >  10 |             s[t] += s[t + half]" in last.found
    assert "no yield lies between the two" in last.found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cuda.blockIdx.x * 64", "blockIdx.x * 64", "in this file it is cuda.blockIdx"),
        ("    yield\n    half", "    cuda.__syncthreads()\n    half", "the barrier is a line of its own: yield"),
        ('cuda.shared("s", 64)', "[0.0] * 64", "a Python list belongs to one thread"),
    ],
)
def test_habits_of_cuda_in_python_are_answered(old, new, words, python, spare):
    exercise = python["kernel-3"]
    assert words in verdict(exercise, spare, exercise.source.replace(old, new)).found


def test_work_of_one_thread_alone_is_too_much_for_it(python, spare):
    exercise, alone = (
        python["kernel-4"],
        "    if t == 0:\n        for i in range(1, 64):\n            s[i] += s[i - 1]\n",
    )
    begin, end = exercise.source.index("    away = 1"), exercise.source.index("    if t < T")
    last = verdict(exercise, spare, exercise.source[:begin] + alone + "    yield\n" + exercise.source[end:])
    assert last.stage == "traffic"
    assert last.found.startswith("thread 0 makes, over all 2 blocks, ")
    assert "reads of shared memory at" in last.found


@compiler
@pytest.mark.parametrize("added", ["out[i] += {};", "atomicAdd(&out[i], {});"])
def test_an_output_that_is_added_to_was_written(added, spare):
    exercise = COURSE["kernel-1"]
    source = re.sub(r"out\[i\] = (.*);", lambda found: added.format(found[1]), exercise.source)
    last = verdict(exercise, spare, source)
    assert (last.stage, last.found) == (
        "check",
        "out is nan: it does not begin as 0. Add up in a variable, and write out once",
    )


@compiler
def test_out_of_bounds_comes_before_the_race_that_it_makes(spare):
    exercise = COURSE["kernel-6"]
    both = [{"kind": "race-in-block"}, {"kind": "out-of-bounds"}]
    assert [finding["kind"] for finding in kernels.by_cause(both)] == ["out-of-bounds", "race-in-block"]
    assert verdict(exercise, spare, mistake(exercise, "no guard")).found.startswith("out-of-bounds: ")


@compiler
@pytest.mark.parametrize("name", ["kernel-3", "kernel-6"])
def test_the_solution_passes_and_each_mistake_is_found_at_its_stage(name, spare):
    exercise = COURSE[name]
    assert verdict(exercise, spare, exercise.source).passed
    for wrong in exercise.wrong:
        last = verdict(exercise, spare, exercise.variant(wrong))
        assert (last.stage, last.passed) == (wrong["stage"], False), wrong["name"]


@compiler
def test_a_race_names_both_lines_of_the_learners_file_and_what_it_is(spare):
    exercise = COURSE["kernel-3"]
    kernels._compile_mistakes(exercise)
    last = verdict(exercise, spare, "// mine\n" + mistake(exercise, "no barrier in the rounds"))
    assert last.found.startswith("race-in-block: thread")
    assert " >   9 |         if (t < half) s[t] += s[t + half];" in last.found
    assert "look for: Put __syncthreads() between the two" in last.found
    assert "One barrier is not enough" in last.found


@compiler
def test_the_race_to_hunt_is_shown_from_both_ends(spare):
    exercise = COURSE["kernel-7"]
    last = verdict(exercise, spare, exercise.stub())
    lines = exercise.stub().split("\n")
    write = next(n for n, line in enumerate(lines, 1) if "key[n] = k" in line)
    read = next(n for n, line in enumerate(lines, 1) if "S[i] += key[i]" in line)
    assert last.stage == "check"
    assert f" + {write:3d} |" in last.found
    assert f" > {read:3d} |" in last.found
    assert "a barrier stands between these lines: then one thread is a round of a loop further" in last.found
    assert "look for: Put __syncthreads()" in last.found


@compiler
def test_what_was_compiled_for_a_learner_goes_with_the_process():
    exercise, name = COURSE["kernel-1"], f"only_here_{time.time_ns()}"
    source = f"__device__ __noinline__ float {name}(float x) {{ return x; }}\n"
    source += exercise.source.replace("= a[i]", f"= {name}(a[i])")
    with Spare() as spare:
        assert verdict(exercise, spare, source).passed
    left = [path for path in cache_folder().glob("*/library.so") if time.time() - path.stat().st_mtime < 60]
    assert not [path for path in left if name.encode() in path.read_bytes()]


@compiler
def test_a_compile_error_is_shown_at_the_learners_line(spare):
    exercise = COURSE["kernel-1"]
    last = verdict(exercise, spare, exercise.source.replace("a[i] * h[i]", "a[i] * hh[i]"))
    assert last.stage == "build"
    assert "kernel_1.cu:4: 'hh' was not declared" in last.found.replace(
        "use of undeclared identifier 'hh'", "'hh' was not declared"
    )


@compiler
def test_the_counter_example_runs_as_pasted(spare, tmp_path):
    exercise = COURSE["kernel-1"]
    source = mistake(exercise, "every block starts at 0")
    last = verdict(exercise, spare, source)
    assert last.stage == "value"
    assert "first at [8] (nan: never written)" in last.found
    assert "expected" in last.picture
    (tmp_path / exercise.file).write_text(source)
    done = subprocess.run([sys.executable, "-c", last.call], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[", *["0."] * 8, "nan]"]


@compiler
@pytest.mark.parametrize(
    ("change", "stage", "words"),
    [
        (lambda text: "", "read", "no kernel step"),
        (lambda text: text.replace("const float *a", "float *a"), "read", "wanted step(const float *a, "),
        (lambda text: text.replace("int N)", "int N, int M)"), "read", "got (const float *a"),
        (lambda text: text.replace("{", "{ system(0);"), "read", "'system': a call of the system"),
        (lambda text: text.replace("if (i < N) out", "if (i < 0) out"), "check", "has written nothing to out"),
        (lambda text: text.replace("    if", "    *(float *)64 = 1.0f;\n    if"), "check", "thread (0, 0, 0)"),
    ],
)
def test_what_is_no_answer_is_said(change, stage, words, spare):
    exercise = COURSE["kernel-1"]
    last = verdict(exercise, spare, change(exercise.source))
    assert last.stage == stage
    assert words in last.found


@compiler
def test_a_loop_without_an_end_is_stopped():
    exercise = COURSE["kernel-1"]
    with Spare() as spare:
        verdict(exercise, spare, exercise.source)
        child = spare.of(kernel_launch.Compiled).child.process
        began = time.monotonic()
        last = verdict(
            exercise, spare, exercise.source.replace("    if", "    for (volatile int n = 0; n == 0;) {}\n    if")
        )
        assert time.monotonic() - began < 20
        assert last.kind == "time"
        assert "does every loop end?" in last.found
        for _ in range(100):  # the watch kills it, and may just be about to
            if not psutil.pid_exists(child.pid):
                return
            time.sleep(0.05)
        raise AssertionError("the process is still there")


@compiler
def test_a_text_that_keeps_the_compiler_busy_is_stopped(monkeypatch):
    monkeypatch.setattr(kernels, "COMPILING", 0.01)
    monkeypatch.setattr(kernel_launch.Compiled, "wall", 0.01)
    exercise = COURSE["kernel-1"]
    with Spare() as spare:
        source = "#define TEN(x) x x x x x x x x x x\n" + exercise.source.replace(
            "    if",
            f"    volatile int n = {time.time_ns() % 1_000_000};\n    TEN(TEN(TEN(TEN(TEN(n = n + 1;)))))\n    if",
        )  # on no machine compiled within the judge's 0.3 s of grace
        last = verdict(exercise, spare, source)
    assert (last.stage, last.kind) == ("build", "time")
    assert "does a macro or a template grow?" in last.found


@compiler
def test_where_nothing_compiles_every_stage_says_so(spare):
    exercise = COURSE["kernel-1"]
    source = exercise.source.replace("int i", "imt i")
    results = list(Judge(exercise, spare, source, seconds=20).run(stop=False))
    assert [r.stage for r in results] == ["read", "build", "check", "example", "value", "traffic"]
    assert all("imt" in r.found for r in results[1:])


@compiler
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("volatile float big[1000000]; big[i] = 1;", "stack overflow"),
        ("void (*f)() = (void (*)())16; f();", "illegal memory access"),
        ("__trap();", "__trap()"),
        ("for (int n = 0; n < threadIdx.x; n++) __syncthreads();", "skipped-barrier"),
    ],
)
def test_a_kernel_that_cannot_go_on_is_a_finding(line, words, spare):
    exercise = COURSE["kernel-1"]
    last = verdict(exercise, spare, exercise.source.replace("    if", f"    {line}\n    if"))
    assert (last.stage, last.passed) == ("check", False)
    assert words in last.found


@compiler
def test_what_a_kernel_prints_is_shown_and_decides_nothing(spare):
    exercise = COURSE["kernel-1"]
    source = exercise.source.replace("    if (i < N)", '    if (i == 0) printf("passed\\n");\n    if (i < 0)')
    last = verdict(exercise, spare, source.replace("\\n", ""))
    assert not last.passed
    assert "your code printed | passed" in last.printed


def test_without_a_compiler_one_is_told_how_to_get_it(python, spare, monkeypatch):
    exercise = python["kernel-5"]
    assert exercise.file == "kernel_5.cu"  # there is no such kernel in Python: it has shuffles
    monkeypatch.setattr(kernels, "missing", lambda: "No GPU is needed\n  fix: apt install g++")
    last = verdict(exercise, spare, exercise.source)
    assert (last.stage, last.kind) == ("read", "environment")
    assert "apt install g++" in last.found


def test_a_plan_has_sizes_of_letters_and_types_of_the_signature():
    exercise = COURSE["kernel-5"]
    plan, x, y, D, eps = kernel_launch.Plan(exercise).arrays([np.ones((3, 5)), np.array(0.25)])
    assert plan.tolist() == [3, 1, 1, 32, 1, 1, 0, -1, 1]
    assert (x.shape, x.dtype) == ((3, 5), np.float32)
    assert y.shape == (3, 5)
    assert np.isnan(y).all()
    assert (D.dtype, D.item(), eps.dtype) == (np.int32, 5, np.float32)


def test_the_launch_of_a_solution_in_python_has_the_parameters_of_the_cuda_one():
    for name in COURSE.tracks["kernel"]["exercises"]:
        folder = COURSE[name].folder
        if (folder / "solution.cu").exists() and (folder / "solution.py").exists():
            names: dict = {}
            exec(compile(Path(folder / "solution.py").read_text("utf-8"), name, "exec"), names)
            function = names[COURSE[name].name]
            wanted = ["cuda", *(p.name for p in kernel_launch.Plan(COURSE[name]).parameters)]
            assert list(function.__code__.co_varnames[: function.__code__.co_argcount]) == wanted


# ---- marks: which of two files


def handed(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text, "utf-8")
    return folder


def test_what_was_handed_in_is_marked_in_its_language(tmp_path):
    cu, python = sorted(COURSE["kernel-1"].languages, key=lambda each: each.file)
    assert (cu.file, python.file) == ("kernel_1.cu", "kernel_1.py")
    for each in (cu, python):
        for other in (cu, python):
            folder = handed(tmp_path / each.file, **{each.file.replace(".", "__"): "mine"})
            exercise, file = in_its_language(other, folder)
            assert (exercise.file, exercise.source, file.data) == (each.file, each.source, b"mine")
    assert in_its_language(cu, handed(tmp_path / "none")) == (cu, None)


def test_of_two_files_the_one_that_was_begun_is_marked_and_of_two_such_none(tmp_path):
    cu, python = sorted(COURSE["kernel-1"].languages, key=lambda each: each.file)
    folder = handed(tmp_path / "ada", kernel_1__cu=cu.stub(), kernel_1__py="mine")
    assert in_its_language(cu, folder)[1].data == b"mine"
    handed(folder, kernel_1__py=python.stub())
    assert in_its_language(python, folder)[0].file == "kernel_1.py"
    handed(folder, kernel_1__py="mine", kernel_1__cu="mine too")
    assert in_its_language(cu, folder)[1].refused.startswith("kernel_1.cu and kernel_1.py were both handed in")


GIVE_MARKS = """
import sys
from pathlib import Path
library, ada, out = sys.argv[1:]
sys.path.insert(0, library)
import minilinear
from minilinear.learn import Course
from minilinear.learn.assignment import Assignment
from minilinear.learn.grade import Plan, grade
plan = Plan(Course().folder, Assignment("Week 9", "1", {"kernel-1": 1.0}))
(report,) = grade({"ada": Path(ada)}, plan, Path(out))
print(minilinear.__file__, report.exercises[0].status, report.exercises[0].score)
"""


@compiler
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives marks as another user")
def test_a_library_that_only_root_can_read_gives_marks(tmp_path):
    library = tmp_path / "library"
    library.mkdir(mode=0o700)
    apart = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(minilinear.__file__).parent, library / "minilinear", ignore=apart)
    for name in ("gpu", "exercises"):
        folder = Path(importlib.import_module(f"minilinear.{name}").__file__).parent
        shutil.copytree(folder, library / "minilinear" / name, ignore=apart, dirs_exist_ok=True)
    ada = handed(tmp_path / "ada", kernel_1__cu=Exercise(COURSE["kernel-1"].folder, language=".cu").source)
    code = [sys.executable, "-c", GIVE_MARKS, str(library), str(ada), str(tmp_path / "out")]
    done = subprocess.run(code, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.split() == [str(library / "minilinear" / "__init__.py"), "done", "10"]


@compiler
def test_a_python_kernel_gets_its_marks_where_a_compiler_is(tmp_path, monkeypatch):
    plan = Plan(COURSE.folder, Assignment("Week 9", "1", {"kernel-1": 1.0}))
    handed(tmp_path / "ada", kernel_1__py=Exercise(COURSE["kernel-1"].folder, language=".py").source)
    handed(tmp_path / "bob", kernel_1__cu=Exercise(COURSE["kernel-1"].folder, language=".cu").source)
    students = {name: tmp_path / name for name in ("ada", "bob")}
    for _ in grade(students, plan, tmp_path / "out"):
        pass
    marks = [from_json((tmp_path / "out" / f"{name}.json").read_bytes()).exercises[0] for name in students]
    assert [(mark.status, mark.score) for mark in marks] == [("done", 10), ("done", 10)]
    monkeypatch.setattr(kernels, "missing", lambda: "no compiler")
    (bob,) = grade({"bob": students["bob"]}, plan, tmp_path / "elsewhere")
    assert [(mark.status, mark.score) for mark in bob.exercises] == [("error", 0)]
