"""The debugger at a counter-example: `minilinear learn debug ID`.

It runs in a process of its own, in the workspace, as any script of the learner's would: with their files, their
packages, and none of the limits of a check.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from ..errors import ConfigError, explain


def script(call: str, name: str) -> str:
    """From a counter-example, `print(f(inputs))`, to a program that stops in the learner's function.

    Args:
        call: the counter-example as it was printed.
        name: the learner's function. If another one uses it, the stop is in its first line all the same.

    Raises:
        ConfigError: the text shows no call.
    """
    match ast.parse(call).body:
        case [*before, ast.Expr(ast.Call(func=ast.Name("print"), args=[ast.Call(func=ast.Name(f)) as tried, *_]))]:
            pass
        case _:
            raise ConfigError(explain("The debugger needs a call.", got=call, fix="minilinear learn run"))
    typed = [] if f == name else [f"tbreak learner.{name}", "continue"]
    inputs = ", ".join(map(ast.unparse, [*tried.args, *tried.keywords]))
    setting_up = ast.unparse(ast.Module(before, []))
    return f"import pdb\n{setting_up}\nat = pdb.Pdb()\nat.cmdqueue = {typed}\nprint(at.runcall({f}, {inputs}))"


def debug(call: str, name: str, folder: Path) -> int:
    """Open the debugger in the learner's function, on the inputs of a counter-example.

    Args:
        call: the counter-example as it was printed.
        name: the learner's function.
        folder: the workspace.

    Returns:
        the process's exit code.
    """
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    return subprocess.run([sys.executable, "-X", "utf8", "-c", start + script(call, name)], cwd=folder).returncode
