"""A hundred wrong calls, and what is said to each. `python -m tests.cli.wrong_calls` writes docs/wrong-calls.md.

Commands are typed as a user would type them, in an empty folder with a text `poem.txt`, a table `table.csv` that is no
group, and a run of six steps, `run`. Calls are Python, with NAMES.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minilinear as ml
from minilinear import attention, delta, kan, mlp, models, norms, optim, recurrence, tasks, training
from minilinear.cli import main
from minilinear.training import checkpoint, recipes

# command: words that the message must hold
COMMANDS: dict[str, str] = {
    "trian": "train",
    "train s33": "s6, a6, d500 and z1000 fit",
    "train ss3": "did you mean s3",
    "train paritty": "did you mean parity",
    "train s3 --mixer glaa": "did you mean gla",
    "train s3 --mixer gla*0": "A plan is",
    "train s3 --mixer gla++kda": "A plan is",
    "train s3 --ffn swigluu": "did you mean swiglu",
    "train s3 --norm rmsnorm": "did you mean rms_norm",
    "train s3 --placement perri": "placement is one of",
    "train s3 --optimizer adamm": "optimizer is one of",
    "train s3 --preset tracking": "presets are",
    "train s3 --preset text-gpu": "is for the task text",
    "train s3 --set R": "NAME=VALUE",
    "train s3 --set =1": "NAME=VALUE",
    "train s3 --set headss=3": "did you mean heads",
    "train s3 --set heads=two": "a whole number",
    "train s3 --set heads=0": "heads is 1 or more",
    "train s3 --set R=0": "R is 1 or more",
    "train s3 --set R=1.5": "a whole number",
    "train s3 --set output_gate=yes": "true or false",
    "train s3 --set convolution=-1": "number of taps",
    "train s3 --set activation=relu": "activation is",
    "train s3 --set chunk=3": "power of two",
    "train s3 --set D=0": "D is 1 or more",
    "train s3 --set layers=0": "layers is 1 or more",
    "train s3 --set lr=0": "lr is a positive number",
    "train s3 --set lr=fast": "lr is a number",
    "train s3 --set clip=-1": "clip is a positive number",
    "train s3 --set ema=1": "below 1",
    "train s3 --set schedule=cosin": "schedule is one of",
    "train s3 --set micro_batches=0": "micro_batches is 1 or more",
    "train s3 --accumulate 0": "--accumulate",
    "train s3 --accumulate 2 --set micro_batches=3": "given once",
    "train s3 --precision fp16": "bf16, which has the range of float32",
    "train s3 --set precision=tf23": "did you mean tf32",
    "train s3 --set recompute=yes": "true or false",
    "train s3 --set segment=-1": "segment is 0 or more",
    "train s3 --set carry=true": "goes on with the same text",
    "train s3 --set optimizer.momentun=0.9": "options here are",
    "train s3 --set task.lenghts=3": "takes: lengths",
    "train s3 --set task.lengths=[5,2]": "shortest and the longest",
    "train s3 --length 0": "shortest and the longest",
    "train s3 --steps 0": "steps is 1 or more",
    "train s3 --steps many": "valid integer",
    "train s3 --batch 0": "batch is 1 or more",
    "train s3 --minutes -1": "--minutes is positive",
    "train s3 --minutes 1 --steps 3": "instead of --steps",
    "train s3 --stepps 3": "--steps",
    "train s3 --steps 5 --set steps=7": "given once",
    "train s3 --minutes nan": "--minutes is positive",
    "train s3 --mixer softmax --set window=0": "window is 1 or more",
    "train s3 --mixer softmax --set window=2.5": "a whole number",
    "train s3 --mixer softmax --set kv_heads=abc": "a whole number",
    "train s3 --set optimizer.betas=[0.9]": "a list of 2 numbers",
    "train s3 --set hidden=-4": "hidden is 1 or more",
    "train s3 --set weight_decay=-1": "weight_decay is 0 or more",
    "train s3 --norm batch_norm --set micro_batches=2": "see it whole",
    "train s3 --out run": "not empty",
    "train s3 --file poem.txt": "takes: lengths",
    "train words": "table",
    "train words --table table.csv": "group",
    "train words --table nothing.csv": "nothing.csv",
    "train text --file nothing.txt": "nothing.txt",
    "train text --file poem.txt --length 100000": "too short",
    "train recall --set task.keys=0": "keys is",
    "train recall --set task.reset=often": "reset",
    "train needles --set task.kind=haystack": "kind is one of",
    "train digits --set task.read=columns": "rows",
    "train --resume nowhere": "no run here",
    "train --resume run --steps 3": "goes on with a run as it was begun",
    "compare": "takes a task",
    "compare s3": "is over something",
    "compare s3 --over mixer": "NAME=A,B",
    "compare s3 --over mixer=gla,delta_nett": "did you mean delta_net",
    "compare s3 --over mixer=gla --over R=2,3": "no R",
    "compare s3 --over R=1,2 --seeds 0": "seeds",
    "compare s3 --over R=1,2 --equal size": "parameters or state",
    "compare --resume nowhere": "no comparison here",
    "compare --resume run --seeds 5": "leave it out",
    "compare s3 --over hidden=16,64 --equal parameters": "changes hidden itself",
    "compare s3 --over R=1,2 --length 17": "lengths are",
    "generate run": "continues a text",
    "generate nowhere": "no run here",
    "inspect nowhere": "no run here",
    "play nowhere": "no run here",
    "list mixters": "did you mean mixers",
    "catalogue everything": "A kind is one of",
    "bench --only nothing": "nothing",
}
NAMES: dict[str, Any] = {
    "ml": ml, "np": np, "recurrence": recurrence, "attention": attention, "delta": delta, "norms": norms, "mlp": mlp,
    "kan": kan, "optim": optim, "models": models, "tasks": tasks, "training": training, "recipes": recipes,
    "checkpoint": checkpoint, "Path": Path, "rng": np.random.default_rng(0), "x": np.zeros((2, 5, 3, 4), np.float32),
    "p": ml.nn.Parameter(np.zeros((3, 4), np.float32)) if hasattr(ml, "nn") else None,
}  # fmt: skip
CALLS: dict[str, str] = {
    "recurrence.gated_linear_attention(x[0], x[0], x[0])": "add the missing axis",
    "recurrence.gated_linear_attention(x, x[..., :3], x)": "axis K differs",
    "recurrence.gated_linear_attention(x, x, x, g=np.zeros((2, 5, 4), np.float32))": "axis H differs",
    "recurrence.gated_linear_attention(x, x, x, form='fast')": "form is one of",
    "recurrence.gated_linear_attention(x, x, x, chunk=48)": "power of two",
    "recurrence.gated_linear_attention(x, x, x, cu_seqlens=[0, 5])": "batch of one",
    "recurrence.gated_linear_attention(x.astype(int), x, x)": "floating point",
    "recurrence.gated_linear_attention(x, x, x, g=np.ones((2, 5, 3), np.float32), check=True)": "is positive",
    "recurrence.delta_rule(x, x + 1, x, beta=np.full((2, 5, 3), 2, np.float32), check=True)": "leaves [0, 2]",
    "recurrence.delta_rule(x, x, x, beta=np.ones((2, 5), np.float32))": "beta must have",
    "attention.softmax_attention(x, x, x, window=0)": "window",
    "attention.rotate(x[..., :3], range(5))": "K is even",
    "attention.SoftmaxAttention(12, heads=5, rng=rng)": "key_dim is D / heads",
    "attention.SoftmaxAttention(12, heads=4, kv_heads=3, rng=rng)": "kv_heads divides",
    "attention.LinearAttention(8, feature_map='identity', rng=rng)": "cannot be divided by",
    "attention.LinearAttention(8, feature_map='gelu', normalise=False, rng=rng)": "A feature map is one of",
    "attention.Retention(6, heads=2, key_dim=3, rng=rng)": "key_dim is even",
    "attention.GLA(10, heads=4, rng=rng)": "The heads share",
    "attention.Mamba2(10, rng=rng)": "shared by heads",
    "delta.DeltaNet(8, heads=2, convolution_init='zeros', rng=rng)": "init is",
    "delta.KDA(8, gate='sharp', rng=rng)": "gate is",
    "delta.DeltaNet(8, rng=rng)(np.zeros((2, 3, 7), np.float32))": "axis D differs",
    "delta.DeltaNet(8, rng=rng)(np.zeros((3, 8), np.float32))": "x must have 3 axes",
    "norms.GroupNorm(6, groups=4)": "groups",
    "norms.LayerNorm(6)(np.zeros((2, 5), np.float32))": "6",
    "mlp.SwiGLU(4, rng=rng)(np.zeros((2, 5), np.float32))": "last axis of 4",
    "mlp.MLP(4, activation='relu6', rng=rng)": "activation is one of",
    "kan.RBFLayer(2, 3, rng=rng)": "norm",
    "optim.SGD([], momentum=0.0, nesterov=True)": "momentum",
    "optim.AdamW([np.zeros(3)])": "list of Parameters",
    "optim.AdamW([]).step([np.zeros(3)])": "one gradient for each",
    "optim.wsd(3, 10, peak=1.0, shape='square')": "is one of linear",
    "models.ModelConfig(5, mixer='gla', mixer_options={'head': 2})": "has the options",
    "models.ModelConfig(5, kind='classifier')": "features",
    "models.plan('gla, kda', 2)": "A plan is",
    "tasks.task('s3', length=4)": "takes: lengths",
    "tasks.Recall(keys=0)": "keys is",
    "tasks.Parity(lengths=(5, 2))": "lengths",
    "tasks.from_table([[0, 1], [1, 1]])": "inverse",
    "training.RunFolder.existing('nowhere')": "no run here",
    "checkpoint.load_checkpoint(Path('poem.txt'))": "damaged, or not a checkpoint",
    "checkpoint.save_checkpoint(Path('c'), {'a': np.zeros(2, complex)}, {})": "floats of 16, 32 or 64 bits",
}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """The folder that commands are typed in."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            Path("poem.txt").write_text("the cat sat on the mat. " * 60, encoding="utf-8")
            Path("table.csv").write_text("0,1\n1,1\n", encoding="utf-8")
            typed("train s3 --steps 6 --batch 4 --length 4 --set D=8 --set heads=2 --out run --no-baseline --json")
            yield Path(name)
        finally:
            os.chdir(before)


def typed(command: str) -> tuple[int, str]:
    """Run a command in this process: its exit code, and what it said on stderr."""
    said, argv = io.StringIO(), sys.argv
    sys.argv = ["minilinear", *shlex.split(command)]
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                main()
                code: Any = 0
            except SystemExit as end:
                code = end.code or 0
    finally:
        sys.argv = argv
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return int(code), said.getvalue()


def called(code: str) -> tuple[str, str]:
    """Evaluate a call: the name of what it raised, and its message; a call that is answered is a mistake of ours."""
    try:
        eval(code, dict(NAMES))
    except (ValueError, TypeError, RuntimeError) as reason:
        return type(reason).__name__, str(reason)
    return "", ""


def in_words(message: str) -> str:
    """A message without the lines that are drawn around it."""
    message = re.sub(r"python -m [\w.]*minilinear", "minilinear", message)
    lines = [line.strip(" │╭╮╰╯─|+-") for line in message.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith("Error"))


def page() -> str:
    """docs/wrong-calls.md."""
    parts = [
        "# A hundred wrong calls\n",
        f"{len(COMMANDS)} commands and {len(CALLS)} calls that cannot be right, and what is said to each: the rule, "
        "what was got, the likeliest fix.\nMade by `python -m tests.cli.wrong_calls`.\n",
        "## Commands\n",
    ]
    with folder():
        for command in COMMANDS:
            code, said = typed(command)
            parts.append(f"```text\n$ minilinear {command}\n{in_words(said)}\n[exit code {code}]\n```\n")
        parts.append("## Calls\n")
        for code_ in CALLS:
            kind, said = called(code_)
            parts.append(f"```text\n>>> {code_}\n{kind}: {said}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    (Path(__file__).resolve().parents[2] / "docs" / "wrong-calls.md").write_text(page(), encoding="utf-8")
