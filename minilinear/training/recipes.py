"""From a task's name to a run's configuration: what each preset means, and what `--set` may change.

One default cannot serve all kinds of task. To follow a state for ever a model must not forget and must see tokens one
by one; to look things up it wants one memory whose size can be compared; to model language it wants a gate that forgets
and a convolution that looks at neighbours. So each task names a preset, and a preset names everything else. `text-gpu`
is what a GPU is for: text again, with a model of 92 million parameters.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ..errors import ConfigError, explain, nearest
from ..models import PRESETS, ModelConfig
from ..models.stack import mixers_of, options_of
from ..optim import OPTIMIZERS
from ..tasks import Task, task
from .folder import RunFolder
from .run import Run, RunConfig

MIXER = {
    "paper": "gated_delta_net",
    "state_tracking": "delta_product",
    "recall": "gated_delta_net",
    "language": "gated_delta_product",
    "text-gpu": "gated_delta_net",
}
MODEL: dict[str, dict[str, Any]] = {
    "paper": {"D": 128, "layers": 2, "chunk": 16},
    "state_tracking": {"D": 32, "layers": 1, "hidden": 64, "chunk": 16},
    "recall": {"D": 48, "layers": 1, "hidden": 64, "chunk": 16},
    "language": {"D": 128, "layers": 2, "chunk": 16},
    "text-gpu": {"D": 768, "layers": 12, "chunk": 64},
}
TRAINING: dict[str, dict[str, Any]] = {
    "paper": {"steps": 1000, "batch": 8, "lr": 3e-3, "warmup": 50, "weight_decay": 0.1},
    "state_tracking": {"steps": 800, "batch": 128, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0},
    "recall": {"steps": 700, "batch": 48, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0},
    "language": {"steps": 1000, "batch": 8, "lr": 3e-3, "warmup": 50, "weight_decay": 0.5},
    "text-gpu": {"steps": 10_000, "batch": 8, "lr": 6e-4, "warmup": 500, "weight_decay": 0.1},
}
FOR_TASK = {"text-gpu": ("text", {"length": 1024})}  # preset -> the one task that it is for, and what differs there
OF_THE_MODEL = ("D", "layers", "hidden", "chunk", "ffn", "norm", "placement")
OF_THE_TRAINING = (
    *("steps", "batch", "lr", "warmup", "clip", "weight_decay", "optimizer", "schedule", "ema"),
    *("micro_batches", "segment", "carry", "recompute", "precision"),
)

# The presets' learning rates are AdamW's. Others take steps of other sizes: how many times as large theirs are.
PACE = {"sgd": 100, "momentum": 10, "nesterov": 10, "sgdp": 10, "adagrad": 10, "adagrad_norm": 100, "lars": 1000} | {
    "muon": 20, "conda": 10,
}  # fmt: skip
COUPLED = ("sgd", "momentum", "nesterov", "adam", "adagrad", "lars", "lamb")  # a preset's decay does not fit theirs


def recipe(
    made: Task,
    *,
    mixer: str | None = None,
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run on a task.

    Args:
        made: the task, what to train on; it names the preset.
        mixer: a name from models.MIXERS or a plan of several; by default the preset's.
        preset: another preset than the task's.
        changes: options of the mixer (R, heads, key_dim, ...), of the model (D, layers, hidden, chunk, ffn, norm,
            placement), of the training (steps, batch, lr, optimizer, ...), or "optimizer.NAME".
        seed: of batches and initial weights.
        training: of the training alone, without a trace in the run's `set`.

    Raises:
        ConfigError: an unknown mixer, preset or option, or a value of the wrong kind.
    """
    preset = preset or made.preset
    if preset not in MODEL:
        fix = nearest(preset, MODEL)
        raise ConfigError(explain(f"The presets are {', '.join(MODEL)}.", got=repr(preset), fix=fix))
    if preset in FOR_TASK and made.name != FOR_TASK[preset][0]:
        raise ConfigError(explain(f"The preset {preset} is for the task {FOR_TASK[preset][0]}.", got=made.name))
    changes = dict(changes or {})
    mixer = str(changes.pop("mixer", None) or mixer or MIXER[preset])
    names = mixers_of(mixer)
    shape = MODEL[preset] | (dict(made.shape) if preset == made.preset else {})
    train = TRAINING[preset] | (dict(made.training) if preset == made.preset else {}) | dict(training or {})
    options = {name: dict(PRESETS[name].get(preset, PRESETS[name]["paper"])) for name in names}
    optimizer_options: dict[str, Any] = {}
    optimizer = changes.get("optimizer", train.get("optimizer", "adamw"))
    for key, value in changes.items():
        knowing = [name for name in names if key in options_of(name)]
        if key.startswith("optimizer."):
            name = key.removeprefix("optimizer.")
            _check(key, value, _of_optimizer(optimizer), name)
            optimizer_options[name] = value
        elif key in OF_THE_MODEL:
            _check(key, value, {f.name: f.default for f in fields(ModelConfig)} | {"hidden": 1} | shape, key)
            shape[key] = value
        elif key in OF_THE_TRAINING:
            _check(key, value, {f.name: f.default for f in fields(RunConfig)}, key)
            train[key] = value
        elif knowing:
            for name in knowing:
                usual = {n: _usual(p) for n, p in options_of(name).items()} | options[name]
                _check(key, value, usual, key)
                options[name][key] = value
        else:
            raise _unknown(key, mixer, names)
    given = changes.keys() | (training or {}).keys()
    if optimizer in OPTIMIZERS:  # presets speak of AdamW: of its learning rate, and of a decay that is lr times decay
        pace = PACE.get(str(optimizer), 1.0)
        if "lr" not in given:
            train["lr"] *= pace
        if "weight_decay" not in given:
            train["weight_decay"] *= 0 if optimizer in COUPLED else 1 / pace
    model = ModelConfig(
        len(made.vocabulary) or 1,
        kind=made.kind,
        features=made.features,
        mixer=mixer,
        mixer_options=options.get(mixer, options),
        **shape,
    )
    told = {"R": options[mixer]["R"]} if mixer in options and "R" in options[mixer] else {}
    return RunConfig(
        task=made.config(),
        model=model.to_json(),
        preset=preset,
        set=told | changes,
        seed=seed,
        optimizer_options=optimizer_options,
        **train,
    )


def _unknown(key: str, mixer: str, names: Sequence[str]) -> ConfigError:
    """Nobody knows this key: which is nearest, and which there are."""
    of_mixers = list(dict.fromkeys(option for name in names for option in options_of(name)))
    return ConfigError(
        explain(
            f"--set changes an option of {mixer} ({', '.join(of_mixers)}), of the model ({', '.join(OF_THE_MODEL)}), "
            f"of the training ({', '.join(OF_THE_TRAINING)}), the mixer itself, or of the optimizer (optimizer.NAME).",
            got=key,
            fix=nearest(key, ["mixer", *of_mixers, *OF_THE_MODEL, *OF_THE_TRAINING]),
            see="set-option",
        )
    )


def _of_optimizer(name: str) -> dict[str, Any]:
    """The options of an optimizer and their defaults."""
    if name not in OPTIMIZERS:
        fix = nearest(name, OPTIMIZERS)
        raise ConfigError(explain(f"optimizer is one of {', '.join(OPTIMIZERS)}.", got=repr(name), fix=fix))
    parameters = inspect.signature(OPTIMIZERS[name]).parameters
    return {n: p.default for n, p in parameters.items() if n not in ("parameters", "lr", "weight_decay")}


def _usual(parameter: inspect.Parameter) -> Any:
    """The default of an option; where that is None, something of the kind that it may be instead."""
    if parameter.default is not None:
        return parameter.default
    return {"int": 1, "float": 1.0, "str": "name"}.get(str(parameter.annotation).split(" ")[0])


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}


def _check(key: str, value: Any, usual: Mapping[str, Any], name: str) -> None:
    """Refuse a value of another kind than the option usually has; a whole number will do for a number."""
    if name not in usual:
        raise ConfigError(
            explain(f"The options here are {', '.join(usual)}.", got=key, fix=nearest(name, usual), see="set-option")
        )
    kind = type(usual[name])
    if value is None:
        return
    if kind is tuple and not _numbers(value, len(usual[name])):
        fix = f"--set {key}={json.dumps(usual[name])}"
        raise ConfigError(
            explain(f"{key} is a list of {len(usual[name])} numbers.", got=repr(value), fix=fix, see="set-option")
        )
    if kind not in KINDS:  # None or a tuple: the option itself looks at its value
        return
    if not (type(value) is kind or (kind is float and type(value) is int)):
        raise ConfigError(
            explain(f"{key} is {KINDS[kind]}.", got=repr(value), fix=f"--set {key}={usual[name]}", see="set-option")
        )


def _numbers(value: Any, n: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == n and all(isinstance(x, (int, float)) for x in value)


def prepare(
    task_name: str,
    settings: Mapping[str, Any],
    *,
    task_options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
) -> tuple[Task, RunConfig]:
    """The task of a name and the configuration of a run on it, from settings as the command line takes them:
    "task.NAME" for an option of the task, everything else as in `recipe`.
    """
    of_task = {key.removeprefix("task."): value for key, value in settings.items() if key.startswith("task.")}
    usual = FOR_TASK.get(preset or "", ("", {}))[1] if task_name == FOR_TASK.get(preset or "", ("",))[0] else {}
    made = task(task_name, **usual | dict(task_options or {}) | of_task)
    changes = {key: value for key, value in settings.items() if not key.startswith("task.")}
    return made, recipe(made, preset=preset, changes=changes, seed=seed, training=training)


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """["R=1", "output_gate=true"] as a dict; values are JSON, or else text."""
    changes = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ConfigError(
                explain("--set takes NAME=VALUE.", got=repr(assignment), fix="--set R=1", see="set-option")
            )
        changes[name] = parse_value(value)
    return changes


def parse_value(text: str) -> Any:
    """JSON, or else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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
