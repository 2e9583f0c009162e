"""From the text of a kernel to a library of this processor: the compiler, its flags, the cache on disk."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from ...errors import BackendError, CompileError, explain
from . import limits, zones
from .watch import has_bit_fields, watched

HERE = Path(__file__).parent
MAC = sys.platform == "darwin"
PARSED = "cudasim.h.gch"  # found by g++ where it looks for cudasim.h; parsing that is most of compiling a small kernel


# ---- the compiler


def find_compiler(wanted: str | None = None) -> tuple[str, ...]:
    """The command of the C++ compiler: `wanted`, else $MINILINEAR_CXX, else g++ or clang++ from the path.

    Args:
        wanted: a command, perhaps with flags: "clang++ -stdlib=libc++".

    Raises:
        BackendError: there is none, with the line that installs one.
    """
    if sys.platform == "win32":
        raise BackendError(
            explain("The simulator runs on Linux and macOS.", fix="WSL (wsl --install), with Python and g++ in it")
        )
    setting = None if wanted else os.environ.get("MINILINEAR_CXX")
    wanted = wanted or setting
    command = shlex.split(wanted) if wanted else [next(filter(shutil.which, _usual()), "")]
    if command and shutil.which(command[0]):
        return tuple(command)
    fix = "xcode-select --install" if MAC else "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora)"
    raise BackendError(
        explain(
            "The simulator compiles kernels with a C++ compiler, and finds none.",
            got=f"no command {(command or [wanted])[0]!r}" if wanted else f"none of {', '.join(_usual())} on the path",
            fix=f"MINILINEAR_CXX is a command that is there, or unset; {fix}" if setting else fix,
        )
    )


def _usual() -> tuple[str, ...]:
    return ("clang++", "g++") if MAC else ("g++", "clang++", "c++")


@cache
def version(compiler: tuple[str, ...]) -> str:
    """What the compiler says of itself."""
    return subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout


@cache
def processor() -> str:
    """The processor and what it can do: with -march=native a library made on another one may not run."""
    words = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    features = sorted({line for line in lines if line.startswith(words)})
    return "\n".join([sys.platform, platform.machine(), platform.processor(), *features])


def flags(compiler: tuple[str, ...], check: bool) -> list[str]:
    """What both the kernel and the runtime are compiled with."""
    chosen = [*compiler[1:], "-std=c++17", "-fPIC"]
    clang, x86 = "clang" in version(compiler), platform.machine() in ("x86_64", "AMD64")
    if not clang:
        # Statics of templates would be shared with every library that has a template of that name, and so with another
        # version of the same kernel.
        chosen.append("-fno-gnu-unique")
        if x86:
            chosen.append("-mtls-dialect=gnu2")  # the quick way to thread-local variables of a library
    if not MAC:
        chosen.append("-fstack-clash-protection")  # touch each page of a large frame: none can step over a guard page
    return [*chosen, "-DSIM_CHECK", f"-DSIM_RED_ZONE={zones.BYTES}"] if check else chosen


def kernel_flags(compiler: tuple[str, ...], check: bool) -> list[str]:
    """What kernels are compiled with besides: a GPU fuses multiplications with additions, and sets no errno."""
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    chosen = [*flags(compiler, check), "-w", native, "-ffp-contract=fast", "-fno-math-errno"]
    if not check:
        return [*chosen, "-O3"]
    # Every load and store becomes a call that the checker answers, and so do a vector at an address that does not suit
    # it and an index outside an array of known size. -O0 keeps each of them as it is written, at its line.
    # A __shared__ array is a static variable; what g++ does there before a first use, for nothing, takes no lock.
    chosen += ["-O0", "-g1", "-fsanitize=thread,alignment,bounds", "-fno-threadsafe-statics", "-fdata-sections"]
    if "clang" in version(compiler):
        # clang leaves out a read that the same line overwrites, as in y[i] += x, unless it is asked not to; it makes
        # calls of atomic operations, which the simulator does itself and reports.
        for setting in ("-tsan-instrument-read-before-write=1", "-tsan-instrument-atomics=0"):
            chosen += ["-mllvm", setting]
    return chosen


# ---- the text

SHARED = re.compile(
    r"extern\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?__shared__\s+(?:(?:__align__|alignas)\s*\(\s*\d+\s*\)\s*)?"
    r"(?P<type>[\w:<>]+(?:\s+\w+)*?)\s+(?P<name>\w+)\s*\[\s*\]\s*;"
)
ASSEMBLER = re.compile(r"\b__asm(?:__)?\b")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


def code_only(text: str) -> str:
    """The text with blanks where comments and strings were."""
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])
    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", blank, text, flags=re.DOTALL)


def prepared(text: str, file: str, check: bool) -> str:
    """The kernel's text as C++: dynamic shared memory becomes a pointer to the block's; `check` watches locals too."""
    if check:
        text = watched(text)
    code, parts, at = code_only(text), [], 0
    for found in SHARED.finditer(code):
        if code.count("{", 0, found.start()) == code.count("}", 0, found.start()):
            raise CompileError(
                explain(
                    f"{file}:{text.count(chr(10), 0, found.start()) + 1}: dynamic shared memory is declared in the "
                    "kernel that uses it: it belongs to a block.",
                    got=found[0],
                    fix="move the declaration into the function",
                )
            )
        kind, name = found["type"], found["name"]
        pointer = f"{kind}* {name} = reinterpret_cast<{kind}*>(sim_current.dynamic_shared);"
        parts += [text[at : found.start()], pointer, "\n" * found[0].count("\n")]
        at = found.end()
    # cudasim.h makes of `asm` an error that says why; its other spellings are those of the C library too.
    return f'#line 1 "{file}"\n' + ASSEMBLER.sub("asm", "".join(parts) + text[at:]) + "\n"


def included(text: str, folders: Sequence[Path]) -> dict[str, Path]:
    """The files of `folders` that a text includes, and those that they include, by the name it is done with."""
    found: dict[str, Path] = {}
    waiting = [text]
    while waiting:
        for name in INCLUDE.findall(waiting.pop()):
            path = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if path and name not in found:
                found[name] = path
                waiting.append(path.read_text("utf-8"))
    return found


# ---- the cache: a folder for each library, which appears complete or not at all


def cache_folder() -> Path:
    """$MINILINEAR_CACHE, else the user's folder for such things."""
    chosen = os.environ.get("MINILINEAR_CACHE")
    if chosen:
        return Path(chosen)
    home = Path.home() / "Library/Caches" if MAC else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "minilinear" / "sim"


def key(*parts: str) -> str:
    """A name for what is made from these."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def cached(name: str, build: Callable[[Path, Path], None]) -> Path:
    """The library `name` from the cache, built if it is not there or not what was once put there.

    Args:
        name: of its folder in the cache.
        build: called with an empty folder to work in, and the path at which the library will lie in the end; it leaves
            library.so in the folder.

    Raises:
        BackendError: the cache cannot be written.
    """
    folder = cache_folder().absolute()
    entry = folder / name
    if _intact(entry):
        return entry / "library.so"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
    except OSError as error:
        raise BackendError(
            explain("The folder for compiled kernels cannot be written.", got=error, fix="set MINILINEAR_CACHE")
        ) from error
    try:
        build(work, entry / "library.so")
        (work / "digest").write_text(_digest(work / "library.so"), "utf-8")
        for leftover in set(work.iterdir()) - {work / kept for kept in ("library.so", "digest", PARSED)}:
            leftover.unlink()
        _put(work, entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return entry / "library.so"


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _intact(entry: Path) -> bool:
    try:
        return (entry / "digest").read_text("utf-8") == _digest(entry / "library.so")
    except (OSError, UnicodeDecodeError):
        return False


def _put(work: Path, entry: Path) -> None:
    """Give a folder its final name. Another process may have been faster; what it made is as good."""
    for _ in range(10):
        try:
            os.rename(work, entry)  # refused if there is a folder with files in it
            return
        except OSError:
            if _intact(entry):
                return
            damaged = Path(tempfile.mkdtemp(prefix="old-", dir=entry.parent))
            with suppress(OSError):  # another process may just have moved it away
                os.rename(entry, damaged / "entry")
            shutil.rmtree(damaged, ignore_errors=True)
    raise BackendError(
        explain("A compiled kernel cannot be put into the cache.", got=entry, fix="set MINILINEAR_CACHE")
    )


# ---- libraries


def _files(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(HERE.glob(pattern))


@cache
def _texts(*patterns: str) -> str:
    return "\0".join(f"{path.name}\0{path.read_text('utf-8')}" for path in _files(*patterns))


def runtime(compiler: tuple[str, ...], check: bool) -> Path:
    """The library that every kernel is linked with; beside it, for g++, the simulator's headers, parsed already."""
    sources = [path for path in _files("runtime/*.cpp", "runtime/*.S") if check or path.stem != "checker"]
    chosen = [*flags(compiler, check), "-O2", "-Wall", "-Wextra", "-pthread"]
    if not check:
        chosen.append("-fvisibility=hidden")  # only what state.h declares is seen from outside: quicker to call

    def build(work: Path, final: Path) -> None:
        commands = [[*chosen, "-c", str(path), "-o", str(work / f"{path.stem}.o")] for path in sources]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda command: _run(compiler, command), commands))
        _link(compiler, [str(work / f"{path.stem}.o") for path in sources], work, final)

        if "clang" not in version(compiler):  # clang refuses its own where the headers have been copied or moved since
            made = ["-x", "c++-header", str(HERE / "include/cudasim.h"), "-o", str(work / PARSED)]
            _run(compiler, [*kernel_flags(compiler, check), *made])

    made_of = _texts("runtime/**/*.*", "include/**/*.h")
    name = key(made_of, *compiler, version(compiler), processor(), *chosen, *kernel_flags(compiler, check))
    return cached(f"runtime-{name}", build)


def library(
    text: str, names: Sequence[str], file: str, headers: dict[str, Path], check: bool, compiler: tuple[str, ...]
) -> tuple[Path, Path]:
    """The paths of the kernels' library and of the runtime's.

    Raises:
        CompileError: the compiler refuses the text.
    """
    base = runtime(compiler, check)
    chosen = kernel_flags(compiler, check)
    unit = prepared(text, file, check) + '#line 1 "names"\n'
    unit += "".join(f"SIM_ENTRY({i}, ({name}))\n" for i, name in enumerate(names)) + "SIM_IMAGE\n"
    unit += '#line 1 "bounds"\n' + limits.launch_bounds(text, names)
    copies = {name: path.read_text("utf-8") for name, path in headers.items()}
    if check and any(map(has_bit_fields, (text, *copies.values()))):
        chosen.append("-DSIM_BIT_FIELDS")

    def build(work: Path, final: Path) -> None:
        (work / "kernel.cpp").write_text(unit, "utf-8")
        folder = Path(tempfile.mkdtemp(prefix="minilinear-"))
        try:
            for name, header in copies.items():
                copy = folder / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(prepared(header, name, check), "utf-8")
            include = ["-I", str(folder), "-I", str(HERE / "include")]
            made = [str(work / "kernel.cpp"), "-S", "-o", str(work / "kernel.s")]
            parsed = [base.parent] if (base.parent / PARSED).exists() else []
            for place in (*parsed, HERE / "include"):  # a complaint is of the headers as they are written
                refused = _compile(compiler, [*chosen, *include, "-include", str(place / "cudasim.h"), *made])
                if not refused:
                    break
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if refused:
            raise CompileError(complaint(refused, {**copies, file: text}, names))
        assembler = (work / "kernel.s").read_text("utf-8")
        if too_much := limits.too_much_shared(assembler, names):
            raise CompileError(too_much)
        if check:
            (work / "kernel.s").write_text(zones.with_red_zones(assembler), "utf-8")
        _run(compiler, [*compiler[1:], "-c", str(work / "kernel.s"), "-o", str(work / "kernel.o")])
        _link(compiler, [str(work / "kernel.o"), str(base)], work, final)

    made_by = _texts("include/**/*.h", "zones.py", "limits.py")
    name = key(unit, *(f"{n}\0{t}" for n, t in copies.items()), made_by, str(base), *chosen)
    return cached(name, build), base


def _compile(compiler: tuple[str, ...], arguments: Iterable[str]) -> str:
    """What the compiler has against the text; "" if nothing."""
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run([compiler[0], *arguments], capture_output=True, text=True, env=english)
    return (done.stderr or f"exit code {done.returncode}") if done.returncode else ""


def _run(compiler: tuple[str, ...], arguments: Iterable[str]) -> None:
    refused = _compile(compiler, arguments)
    if refused:
        fix = "another compiler: MINILINEAR_CXX=g++ (10 or newer) or clang++ (12 or newer)"
        raise BackendError(explain(f"{compiler[0]} does not compile the simulator.", got=refused[:2000], fix=fix))


def _link(compiler: tuple[str, ...], inputs: list[str], work: Path, final: Path) -> None:
    # With -Bsymbolic a kernel is meant even if a function of the C library has its name, as `step` has.
    shared = ["-dynamiclib", "-install_name", str(final)] if MAC else ["-shared", "-Wl,--no-undefined,-Bsymbolic"]
    _run(compiler, [*compiler[1:], *shared, "-o", str(work / "library.so"), *inputs, "-pthread"])


# ---- what the compiler complains about

PLACE = re.compile(
    r"^(?:In file included from )?(?P<file>[^:\s][^:\n]*):(?P<line>\d+):(?:(?P<column>\d+):)?(?P<rest>.*)"
)


def complaint(stderr: str, texts: dict[str, str], names: Sequence[str]) -> str:
    """The compiler's errors in the kernel's own words: file, line and three lines of context for each, three at most.

    An error inside the simulator's headers is shown at the line of the kernel that led there.
    """
    groups: list[list[re.Match[str]]] = []  # the lines that name a place, cut before... and after each error
    pending: list[re.Match[str]] = []
    for line in stderr.splitlines():
        found = PLACE.match(line)
        if not found:
            continue
        if "error:" in found["rest"]:
            groups.append([found, *pending])
            pending = []
        elif groups and "note:" in found["rest"]:
            groups[-1].append(found)  # clang says afterwards where an instantiation came from
        else:
            pending.append(found)  # g++ says it before
    shown: dict[tuple[str, int], str] = {}
    for group in groups:
        words = group[0]["rest"].split("error:", 1)[1].strip()
        own = next((place for place in group if place["file"] in texts), None)
        if own:
            at = (own["file"], int(own["line"]))
            shown.setdefault(at, f"{own['file']}:{own['line']}: {words}\n{context(texts[own['file']], at[1])}")
        elif group[0]["file"] == "names":
            wanted = names[min(int(group[0]["line"]), len(names)) - 1]
            shown.setdefault(("names", int(group[0]["line"])), f"the kernel {wanted!r}: {words}")
    if not shown:
        return "The kernel does not compile.\n" + stderr[-2000:]
    more = f"\n... and {len(shown) - 3} more" if len(shown) > 3 else ""
    return "The kernel does not compile.\n" + "\n".join(list(shown.values())[:3]) + more


def context(text: str, line: int) -> str:
    """A line of a text with the ones around it."""
    lines = text.splitlines()
    near = range(max(line - 1, 1), min(line + 1, len(lines)) + 1)
    return "\n".join(f"  {'>' if n == line else ' '} {n:4d} | {lines[n - 1]}" for n in near)
