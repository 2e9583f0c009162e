"""The contract in numbers: `python -m tests.recurrence.contract_table` prints the worst error of every form.

Forms x gates x dtypes x T x chunk, over every choice of the other arguments (R, erase key, initial state): relative RMS
of the output, the final state and the states entering the chunks, and of the gradient of every input for cotangents on
all of them, against the definition, token by token, in float64.
"""

from __future__ import annotations

import numpy as np

from tests.recurrence.cases import CASES, Case, relative_rms, run_with_gradients

LENGTHS = (1, 13, 70)
COLUMNS = {
    "recurrent": {"form": "recurrent", "chunk": 16},
    "parallel": {"form": "parallel", "chunk": 16},
    **{f"chunk {C}": {"form": "chunk", "chunk": C} for C in (1, 2, 16, 64, 128)},
}
GATES = {None: "none", "B T H": "scalar", "B T H K": "vector"}


def worst(case: Case, dtype: type, T: int, options: dict) -> tuple[float, float]:
    """Of the values, and of the gradients."""
    x = case.inputs(T, dtype=np.float32)  # what both precisions start from
    options = options | {"return_states": True}
    exact = {name: a.astype(np.float64) for name, a in x.items()}
    values, slopes = run_with_gradients(case, exact, **(options | {"form": "recurrent"}))
    got, found = run_with_gradients(case, {name: a.astype(dtype) for name, a in x.items()}, **options)
    return (
        max(relative_rms(y, z) for y, z in zip(got, values)),
        max(relative_rms(found[name], g) for name, g in slopes.items()),
    )


def table() -> str:
    """Markdown: a row for each recurrence, gate and dtype; in each cell values / gradients."""
    lines = [f"| recurrence | gate | dtype | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    rows = dict.fromkeys((case.name.split("-")[0], case.axes.get("g")) for case in CASES)
    for name, gate in rows:
        cases = [case for case in CASES if case.name.split("-")[0] == name and case.axes.get("g") == gate]
        for dtype in (np.float64, np.float32):
            cells = []
            for options in COLUMNS.values():
                found = [worst(case, dtype, T, options) for case in cases for T in LENGTHS]
                cells.append(" / ".join(f"{max(errors):.0e}" for errors in zip(*found)))
            lines.append(f"| `{name}` | {GATES[gate]} | {np.dtype(dtype)} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
