"""What trained layers do to their states, letter by letter: `python docs/transitions.py RUN ...` prints JSON.

The runs are of words of a group, one layer each, without a convolution: then A_t depends on the token alone, and the
matrices of all letters say everything that the layer can do. docs/data/s3-transitions.json is made so:

    for s in 0 1 2; do minilinear train s3 --seed $s; done
    python docs/transitions.py runs/s3-seed0 runs/s3-seed1 runs/s3-seed2 > docs/data/s3-transitions.json
"""

from __future__ import annotations

import datetime
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minilinear.models.watch import watch
from minilinear.training import Run, RunFolder
from minilinear.training.run import versions


def transitions_of(path: Path, scores: Any) -> dict[str, Any]:
    """The settings and scores of a run, and A (letters, H, K, K), to six digits."""
    run = Run.resume(RunFolder.existing(path))
    run.model.eval()
    letters = np.arange(run.task.group.order)[None]  # (1, letters)
    (seen,) = watch(run.model, letters)
    backwards = watch(run.model, letters[:, ::-1])[0].transitions[:, ::-1]
    if not np.allclose(seen.transitions, backwards, atol=1e-5):
        raise SystemExit(f"{path}: what a letter does depends on the letters before it.")
    return {
        "seed": run.config.seed,
        "set": run.config.set,
        "mixer": run.config.model["mixer"],
        "mixer_options": run.config.model["mixer_options"],
        "scores": scores,
        "A": np.round(seen.transitions[0].astype(np.float64), 6).tolist(),
    }


def main(folders: list[str]) -> None:
    found, runs = versions(), []
    for path in map(Path, folders):
        result = RunFolder.existing(path).read_result()
        runs.append(transitions_of(path, result["scores"]))
        if "baseline" in result:
            runs.append(transitions_of(path / "baseline", result["baseline"]["scores"]))
    document = {
        "command": f"minilinear train s3 --seed S for each; python docs/transitions.py {shlex.join(folders)}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{found['machine']}, Python {found['python']}, NumPy {found['numpy']}",
        "runs": runs,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main(sys.argv[1:])
