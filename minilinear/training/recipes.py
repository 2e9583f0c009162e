"""From a task's name to a run's configuration: what each preset means, and what `--set` may change.

One default cannot serve both kinds of task. To follow a state for ever a model must not forget and must see tokens one
by one; to model language it wants a gate that forgets and a convolution that looks at neighbours. So each task names a
preset, and a preset names everything else.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigError, explain
from ..models import MIXERS, PRESETS, ModelConfig
from ..tasks import Task
from .folder import RunFolder
from .run import Run, RunConfig

MODEL = {
    "state_tracking": {"D": 32, "layers": 1, "hidden": 64, "chunk": 16},
    "language": {"D": 128, "layers": 2, "chunk": 16},
}
TRAINING = {
    "state_tracking": {"steps": 800, "batch": 128, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0},
    "language": {"steps": 1000, "batch": 8, "lr": 3e-3, "warmup": 50, "weight_decay": 0.5},
}
OF_THE_MODEL = ("D", "layers", "hidden", "chunk", "ffn", "norm")


def recipe(
    task: Task,
    *,
    mixer: str = "delta_product",
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run on `task`.

    Args:
        task: what to train on; it names the preset.
        mixer: a name from models.MIXERS.
        preset: another preset than the task's.
        changes: options of the mixer (R, heads, key_dim, ...) or of the model (D, layers, hidden, chunk, ffn, norm).
        seed: of batches and initial weights.
        training: steps, batch, lr, warmup, clip, weight_decay, where they differ from the preset's.

    Raises:
        ConfigError: an unknown mixer, preset or option.
    """
    preset = preset or task.preset
    if mixer not in MIXERS:
        raise ConfigError(explain(f"A mixer is one of {', '.join(MIXERS)}.", got=repr(mixer)))
    if preset not in PRESETS[mixer]:
        raise ConfigError(explain(f"{mixer} has the presets {', '.join(PRESETS[mixer])}.", got=repr(preset)))
    changes = dict(changes or {})
    known = [name for name in inspect.signature(MIXERS[mixer]).parameters if name not in ("D", "rng")]
    unknown = changes.keys() - {*known, *OF_THE_MODEL}
    if unknown:
        raise ConfigError(
            explain(
                f"--set changes an option of {mixer} ({', '.join(known)}) or of the model ({', '.join(OF_THE_MODEL)}).",
                got=", ".join(sorted(unknown)),
                fix="check the spelling",
            )
        )
    usual = {name: p.default for name, p in inspect.signature(MIXERS[mixer]).parameters.items()}
    usual |= PRESETS[mixer][preset] | {"hidden": 1, "ffn": "", "norm": ""} | MODEL[preset]
    for name, value in changes.items():
        if not _alike(value, usual[name]):
            kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}[type(usual[name])]
            raise ConfigError(explain(f"{name} is {kind}.", got=repr(value), fix=f"--set {name}={usual[name]}"))
    options = PRESETS[mixer][preset] | {name: value for name, value in changes.items() if name in known}
    shape = MODEL[preset] | {name: value for name, value in changes.items() if name in OF_THE_MODEL}
    model = ModelConfig(len(task.vocabulary), mixer=mixer, mixer_options=options, **shape)
    return RunConfig(
        task=task.config(),
        model=model.to_json(),
        preset=preset,
        set={"R": options["R"]} | changes if "R" in options else changes,
        seed=seed,
        **(TRAINING[preset] | dict(training or {})),
    )


def _alike(value: Any, usual: Any) -> bool:
    """Whether a value is of the kind that an option usually has; a whole number will do for a number."""
    return type(value) is type(usual) or (type(usual) is float and type(value) is int)


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """["R=1", "forget_gate=true"] as a dict; values are JSON, or else text."""
    changes = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(explain("--set takes NAME=VALUE.", got=repr(assignment), fix="--set R=1"))
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            changes[name] = value
    return changes


def fitted_to(minutes: float, config: RunConfig, task: Task) -> RunConfig:
    """The same configuration with as many steps as fit into `minutes` here, from the time of a dozen steps."""
    trial = Run(config, RunFolder("."), task)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        trial.advance()
        times.append(time.perf_counter() - start)
    each = sum(times[2:]) / len(times[2:])
    return replace(config, steps=max(1, int(60 * minutes / each)))
