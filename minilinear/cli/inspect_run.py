"""`minilinear inspect RUN`: what a run is, what its files are worth, and what its memories do while it reads.

Reading only: it takes no lock, so it can look at a run that is being trained. What is damaged is said, what can be read
is shown all the same, and the exit code is that of the first thing that was wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..backend import use
from ..errors import ConfigError, RunError, explain
from ..models import ModelConfig, make_model
from ..models.stack import plan
from ..models.watch import Watched, watch
from ..optim import EMA
from ..randomness import stream
from ..svg import COLOURS, heat_maps, line_chart, planes, tracks
from ..tasks import Task, task_from_config
from ..tasks.groups import BOS
from ..training import RunConfig, RunFolder, load_checkpoint
from ..training.atomic import atomic_write
from ..training.checkpoint import previous
from .console import AsJson, Plain, make_console, print_json, say, show_table
from .play import Spelling
from .result import headline, result_picture

SHOWN = 24  # tokens of a sequence, unless --length says more
ENTRIES = 64  # of a head's state, drawn one by one; of a larger one the lengths of its rows
HEADS = len(COLOURS)  # drawn at most, a colour each


def inspect(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    layer: Annotated[
        int | None, typer.Option(min=1, help="The block to look into; by default all, drawn the first.")
    ] = None,
    sequence: Annotated[str | None, typer.Option(metavar="TEXT", help="What the model reads, as for play.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Tokens of a random sequence.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the random sequence.")] = 0,
    pictures: Annotated[
        bool | None, typer.Option(help="Write RUN/pictures/*.svg; by default yes, and no with --json.")
    ] = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Say what a run is, and draw what its memory does: states, eigenvalues, gates over time."""
    if sequence is not None and length is not None:
        raise ConfigError(explain("A sequence is given or drawn.", got="--sequence and --length", fix="one of them"))
    console = make_console(as_json, plain)
    folder = RunFolder.existing(run)
    with use("numpy"):  # short sequences, pictures, eigenvalues: nothing for a GPU
        read = Reading(folder)
        look(read, layer, sequence, length, seed)
        if pictures is None:
            pictures = not as_json
        if pictures:
            read.document["pictures"] = draw(read, layer)
    if as_json:
        print_json(read.document)
    else:
        report(console, read)
    if read.problems:
        raise read.problems[0]


class Reading:
    """What can be read of a run.

    Args:
        folder: of the run.

    Attributes:
        document: what --json prints.
        problems: what could not be read, and why.
        task, model: None where they cannot be made.
        seen: what the layers did on the sequence; `tokens` are its tokens, as they are written.
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.problems: list[Exception] = []
        self.task: Task | None = None
        self.model: Any = None
        self.seen: list[Watched] = []
        self.tokens: list[str] = []
        self.metrics: list[dict[str, Any]] = []
        self.result: dict[str, Any] | None = None
        self.document: dict[str, Any] = {"run": str(folder.path), "files": [], "notes": []}
        self._read()

    def _read(self) -> None:
        weights = self._checkpoints()
        config = self._config()
        self._measurements()
        if config is not None:
            self._model(config, weights)
        self.document["lock"] = self.folder.holder()
        self.document["problems"] = [str(problem) for problem in self.problems]

    def _file(self, path: Path, health: str) -> None:
        size = path.stat().st_size if path.exists() else None
        self.document["files"].append({"name": path.name, "bytes": size, "health": health})

    def _checkpoints(self) -> tuple[dict[str, np.ndarray], Path] | None:
        """The arrays of the checkpoint, or of the one before it, and which."""
        usable: list[tuple[dict[str, np.ndarray], Path]] = []
        last = self.folder.checkpoint
        for path in (last, previous(last)):
            if not path.exists():
                if path == last:
                    self._file(path, "none yet" if not previous(last).exists() else "missing")
                continue
            try:
                arrays, metadata = load_checkpoint(path)
            except RunError as reason:
                self._file(path, "damaged")
                self.problems.append(reason)
                continue
            self._file(path, f"whole, step {metadata['step']}")
            if not usable:
                self.document |= {"step": metadata["step"], "seconds": round(metadata["seconds"], 2)}
            usable.append((arrays, path))
        if not usable:
            self.document["notes"].append("There are no weights to read: what is drawn is a model without training.")
            return None
        if usable[0][1] != last:
            self.document["notes"].append(
                f"All numbers are those of {usable[0][1].name}; to go on from it, rename it to {last.name} and resume."
            )
        return usable[0]

    def _config(self) -> RunConfig | None:
        path = self.folder.config
        try:
            config = RunConfig(**self.folder.read_config())
            model = ModelConfig.from_json(config.model).to_json()
        except (TypeError, AttributeError) as reason:
            self.problems.append(self._no_configuration(reason))
        except (ConfigError, RunError) as reason:
            self.problems.append(reason)
        else:
            self._file(path, "whole")
            settings = config.to_json() | {"model": model}
            self.document |= {"task": settings.pop("task"), "model": settings.pop("model"), "config": settings}
            return config
        self._file(path, "damaged")
        return None

    def _no_configuration(self, reason: Exception) -> ConfigError:
        return ConfigError(
            explain(f"{self.folder.config} is not a run's configuration.", got=repr(reason), see="damaged-file")
        )

    def _measurements(self) -> None:
        """metrics.jsonl and result.json, where they are."""
        try:
            self.metrics = self.folder.read_metrics()
            if self.folder.metrics.exists():
                self._file(self.folder.metrics, f"whole, {len(self.metrics)} lines")
        except RunError as reason:
            self._file(self.folder.metrics, "damaged")
            self.problems.append(reason)
        self.document["last_metrics"] = self.metrics[-1] if self.metrics else None
        if self.folder.result.exists():
            try:
                self.result = self.folder.read_result()
                self._file(self.folder.result, "whole")
            except RunError as reason:
                self._file(self.folder.result, "damaged")
                self.problems.append(reason)
        self.document["result"] = self.result

    def _model(self, config: RunConfig, weights: tuple[dict[str, np.ndarray], Path] | None) -> None:
        try:
            self.task = task_from_config(dict(config.task))
        except (ConfigError, RunError) as reason:
            self.problems.append(reason)
        except (KeyError, TypeError) as reason:
            self.problems.append(self._no_configuration(reason))
        try:
            self.model = make_model(ModelConfig.from_json(config.model), rng=stream(config.seed, "weights"))
            if weights is not None:
                self._load(weights[0], config)
        except (ConfigError, RunError) as reason:
            self.problems.append(reason)
            self.model = None
        except ValueError as reason:
            fix = "the config.json that the run began with"
            self.problems.append(
                RunError(
                    explain("Checkpoint and configuration belong together.", got=reason, fix=fix, see="other-model")
                )
            )
            self.model = None
        if self.model is None:
            return
        self.model.eval()
        self.document["parameters"] = [_described(name, p) for name, p in self.model.named_parameters()]
        self.document["parameter_count"] = self.model.parameter_count()
        if self.task is not None:
            T = self.task.tested[0]
            self.document["state_floats"] = {str(n): self.model.state_floats(n) for n in (T, 2 * T)}

    def _load(self, arrays: dict[str, np.ndarray], config: RunConfig) -> None:
        parts = {"model": {}, "average": {}}  # type: dict[str, dict[str, np.ndarray]]
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        self.model.load_state_dict(parts["model"])
        if config.ema and parts["average"]:
            average = EMA(self.model.parameters(), decay=config.ema)
            average.load_state_dict(parts["average"])
            for parameter, value in zip(self.model.parameters(), average.average()):
                parameter.assign_(value)
            self.document["notes"].append("All numbers are those of the averaged weights, which evaluation uses.")


def _described(name: str, parameter: Any) -> dict[str, Any]:
    x = parameter.numpy().astype(np.float64)
    numbers = {"mean": x.mean(), "std": x.std(), "norm": np.sqrt((x * x).sum())}
    return {"name": name, "shape": list(x.shape), "role": parameter.role} | {k: float(n) for k, n in numbers.items()}


# What it does while it reads.


def look(read: Reading, layer: int | None, sequence: str | None, length: int | None, seed: int) -> None:
    """Let the model read a sequence, and watch its memories."""
    if layer is not None and "model" in read.document:
        settings = read.document["model"]
        mixers = plan(settings["mixer"], settings["layers"])
        if layer > len(mixers):
            raise ConfigError(explain(f"--layer is one of the {len(mixers)} blocks.", got=layer, fix="--layer 1"))
        if mixers[layer - 1] in ("softmax", "none"):
            own = [str(i) for i, mixer in enumerate(mixers, 1) if mixer not in ("softmax", "none")]
            fix = f"--layer {' or '.join(own)}" if own else "another run: no block of this one has a memory"
            raise ConfigError(
                explain("--layer is a block with a memory of fixed size.", got=f"{layer}, {mixers[layer - 1]}", fix=fix)
            )
    if read.model is None or read.task is None:
        return
    inputs = the_sequence(read.task, sequence, length, seed)
    read.tokens = names_of(read.task, inputs)
    seen = watch(read.model, inputs)
    read.seen = [found for found in seen if layer in (None, found.block)]
    if not seen:
        read.document["notes"].append(
            f"{read.document['model']['mixer']} has no memory of fixed size, so there are no states, transitions and "
            "gates to draw: it keeps the keys and values of all tokens."
        )
    read.document["sequence"] = {"tokens": read.tokens, "inputs": np.asarray(inputs[0]).tolist()}
    read.document["layers"] = [_numbers(found) for found in read.seen]


def the_sequence(task: Task, sequence: str | None, length: int | None, seed: int) -> np.ndarray:
    """One sequence (1, T) or (1, T, F): as given, or drawn as for evaluation."""
    if sequence is not None:
        if task.features:
            raise ConfigError(explain("--sequence is for tokens.", got=task.name, fix="--seed N draws another one"))
        ids = Spelling(task).ids(sequence)
        if not ids:
            raise ConfigError(explain("--sequence has at least one token.", got=repr(sequence)))
        return np.array([[task.vocabulary.index(BOS), *ids] if BOS in task.vocabulary else ids])
    inputs, _ = task.evaluation(stream(seed, "inspect"), length or task.tested[0], 1)
    return inputs if length or task.features else inputs[:, :SHOWN]  # a causal model does not see what was cut off


def names_of(task: Task, inputs: np.ndarray) -> list[str]:
    """How each token is written; rows of numbers are counted."""
    if task.features:
        return [str(t + 1) for t in range(inputs.shape[1])]
    return [_visible(task.vocabulary[i]) for i in inputs[0]]


def _visible(token: str) -> str:
    """A blank as an open box, and what cannot be printed as an escape."""
    return "\u2423" if token == " " else token if token.isprintable() else ascii(token)[1:-1]


def _numbers(seen: Watched) -> dict[str, Any]:
    """What --json says of a layer, of the one sequence."""
    values = seen.eigenvalues[0]
    found: dict[str, Any] = {"block": seen.block, "mixer": seen.mixer, "state": list(seen.states.shape[2:])}
    found |= {
        "largest_modulus": float(np.abs(values).max()),
        "smallest_real_part": float(values.real.min()),
        "largest_imaginary_part": float(values.imag.max()),
        "states": _rounded(seen.states[0]),
        "eigenvalues": _rounded(np.stack([values.real, values.imag], -1)),
    }
    for name, gate in ("alpha", seen.alpha), ("beta", seen.beta):
        found[name] = None if gate is None else _rounded(gate[0])
    return found


def _rounded(x: np.ndarray) -> Any:
    return np.round(x.astype(np.float64), 6).tolist()


# Pictures.


def draw(read: Reading, layer: int | None) -> dict[str, str]:
    """Write what can be drawn into RUN/pictures; the paths by name."""
    found: dict[str, str] = {}
    name = read.document.get("task", {}).get("name", "run")
    losses = [(m["step"], m["loss"]) for m in read.metrics if m.get("loss") is not None]
    if losses:
        found["loss"] = line_chart({"training": losses}, title=f"{name}: loss", x="step", y="loss")
    if read.result is not None:
        found["result"] = result_picture(read.result)
    if read.seen:
        found |= layer_pictures(read.seen[0], read.tokens, name)
        if len(read.seen) > 1:
            others = ", ".join(str(seen.block) for seen in read.seen[1:])
            read.document["notes"].append(f"Drawn is block {read.seen[0].block}; --layer shows {others}.")
    folder = read.folder.path / "pictures"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as reason:
        raise RunError(
            explain(f"Cannot make the folder {folder}.", got=reason.strerror, see="system-refuses")
        ) from None
    for picture, svg in found.items():
        atomic_write(folder / f"{picture}.svg", svg.encode())
    return {picture: str(folder / f"{picture}.svg") for picture in found}


def layer_pictures(seen: Watched, tokens: list[str], task: str) -> dict[str, str]:
    """states, eigenvalues and gates (where there are any) of one layer on one sequence, as SVG."""
    H = seen.states.shape[2]
    heads = range(min(H, HEADS))
    of = f"{task}: {seen.mixer}, block {seen.block}" + (f", heads 1-{HEADS} of {H}" if H > HEADS else "")
    axis = "tokens, from left to right"
    found = {
        "states": heat_maps(
            {f"head {h + 1}": _rows(seen.states[0, :, h]) for h in heads},
            columns=tokens,
            title=f"{of}, states",
            x=axis,
            y="entries of the state S" if _small(seen) else "lengths of the rows of the state S",
        ),
        "eigenvalues": planes(
            {f"head {h + 1}": _by_token(seen.eigenvalues[0, :, h], tokens, h) for h in heads},
            title=f"{of}, eigenvalues of A",
        ),
    }
    panels = gate_panels(seen, heads)
    if panels:
        ranges = {name: _range(lines) for name, lines in panels.items()}
        found["gates"] = tracks(panels, columns=tokens, title=f"{of}, gates", x=axis, y_ranges=ranges)
    return found


def _small(seen: Watched) -> bool:
    return seen.states.shape[3] * seen.states.shape[4] <= ENTRIES


def _rows(states: np.ndarray) -> list[list[float]]:
    """States (T, K, V) as rows over time: each entry, or of a large one the length of each row of S."""
    T, K, V = states.shape
    shown = states.reshape(T, K * V) if K * V <= ENTRIES else np.sqrt((states * states).sum(-1))
    return shown.T.tolist()


def _by_token(values: np.ndarray, tokens: list[str], head: int) -> dict[str, list[complex]]:
    """Eigenvalues (T, K) by the token that they belong to, if the different tokens are few enough for a colour each."""
    names = sorted(set(tokens))
    if len(names) > HEADS:
        return {"all tokens": values.ravel().tolist()}
    return {name: values[[token == name for token in tokens]].ravel().tolist() for name in names}


def gate_panels(seen: Watched, heads: range) -> dict[str, dict[str, list[float]]]:
    """alpha and each beta over time, a line for each head."""
    panels: dict[str, np.ndarray] = {}
    if seen.alpha is not None:
        own = seen.alpha.ndim == 4
        name = "decay alpha = exp(g)" + (", mean over the channels of a head" if own else "")
        panels[name] = seen.alpha[0].mean(-1) if own else seen.alpha[0]
    if seen.beta is not None:
        R = seen.beta.shape[2] if seen.beta.ndim == 4 else 1
        for r in range(R):
            name = "write strength beta" + (f", step {r + 1} of {R}" if R > 1 else "")
            panels[name] = seen.beta[0, :, r] if seen.beta.ndim == 4 else seen.beta[0]
    return {name: {f"head {h + 1}": gate[:, h].tolist() for h in heads} for name, gate in panels.items()}


def _range(lines: dict[str, list[float]]) -> tuple[float, float]:
    """0 .. 1, or as far beyond as the numbers go: -1 or 2."""
    values = [value for line in lines.values() for value in line]
    return (-1.0 if min(values) < 0 else 0.0), (2.0 if max(values) > 1 else 1.0)


# For a person.


def report(console: Console, read: Reading) -> None:
    """The document as tables."""
    document = read.document
    task, model, config = (document.get(name, {}) for name in ("task", "model", "config"))
    say(console, f"{document['run']}: {task.get('name', 'its configuration cannot be read')}")
    if model:
        options = ", ".join(f"{name}={value}" for name, value in model["mixer_options"].items())
        say(console, f"{model['mixer']}({options}), {model['layers']} x (mixer, {model['ffn']}), D {model['D']}, "
            f"{model['norm']} {model['placement']}")  # fmt: skip
        say(console, f"{config['optimizer']}, {config['schedule']}, lr {config['lr']:g}, {config['steps']} steps of "
            f"{config['batch']}, seed {config['seed']}, preset {config['preset']}")  # fmt: skip
    if "parameters" in document:
        rows = [
            (
                p["name"],
                " x ".join(map(str, p["shape"])) or "1",
                p["role"],
                *(f"{p[n]:.4g}" for n in ("mean", "std", "norm")),
            )
            for p in document["parameters"]
        ]
        show_table(console, ("parameter", "shape", "role", "mean", "std", "norm"), rows)
        sizes = ", ".join(f"{n:,} after {T} tokens" for T, n in document.get("state_floats", {}).items())
        say(console, f"{document['parameter_count']:,} parameters; numbers in the state: {sizes or 'unknown'}")
    if document.get("layers"):
        show_table(
            console,
            ("memory", "heads x K x V", "largest |eigenvalue|", "smallest real part", "largest imaginary part"),
            [
                (
                    f"block {found['block']}, {found['mixer']}",
                    " x ".join(map(str, found["state"])),
                    *(f"{found[n]:.3f}" for n in ("largest_modulus", "smallest_real_part", "largest_imaginary_part")),
                )
                for found in document["layers"]
            ],
            title=f"read: {' '.join(read.tokens)[:100]}",
        )
    if document["last_metrics"]:
        last = {name: value for name, value in document["last_metrics"].items() if isinstance(value, (int, float))}
        say(console, "last measured: " + ", ".join(f"{name} {value:.5g}" for name, value in last.items()))
    if read.result is not None and "scores" in read.result:
        scores = read.result["scores"].items()
        say(console, "result: " + ", ".join(f"{headline(s)[0]} {headline(s)[1]:.3f} at {n}" for n, s in scores))
    rows = [(f["name"], "-" if f["bytes"] is None else f"{f['bytes']:,}", f["health"]) for f in document["files"]]
    show_table(console, ("file", "bytes", "health"), rows)
    say(console, f"being written by {document['lock']}" if document["lock"] else "nobody is writing here")
    for note in document["notes"]:
        say(console, note)
    if document.get("pictures"):
        say(console, "pictures: " + ", ".join(document["pictures"].values()))
