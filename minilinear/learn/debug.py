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
    body = ast.parse(call).body
    for at in range(len(body) - 1, -1, -1):  # the last call; what is printed of it does not matter
        tried = next((n for n in ast.walk(body[at]) if isinstance(n, ast.Call) and _calls(n, name)), None)
        if tried and ast.unparse(body[at]).startswith("print("):
            before, f = body[:at], ast.unparse(tried.func)
            break
    else:
        raise ConfigError(explain("There is no call to stop at.", got=call, fix="minilinear learn run"))
    typed = [] if f == name else [f"tbreak learner.{name}", "continue"]
    inputs = ", ".join(map(ast.unparse, [*tried.args, *tried.keywords]))
    setting_up = ast.unparse(ast.Module([each for each in before if not isinstance(each, ast.Expr)], []))
    start = f"import pdb\n{setting_up}\nat = pdb.Pdb()\nat.cmdqueue = {typed}\nresult = at.runcall({f}, {inputs})"
    return f"{start}\nif result is not None:\n    print(result)"  # None: it was left


def _calls(node: ast.Call, name: str) -> bool:
    """Whether a call is one of the learner's function, or of the harness that uses it."""
    return isinstance(node.func, ast.Name) and node.func.id in (name, "harness")


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
