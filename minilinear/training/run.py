"""One training run: a model, a task, an optimizer and the folder they are written to.

    loss_t = loss of model(inputs) against targets,     batch t drawn from stream(seed, "batch", t)
    gradient, clipped to a length;  an optimizer with a scheduled learning rate

A run is a pure function of its configuration: batches and initial weights come from (seed, name, step), so a run that
was killed and resumed ends where it would have ended (bit for bit on the same machine, versions and threads).
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import math
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Tensor, cross_entropy, grad
from ..errors import ConfigError, RunError, TrainingFailed, explain, nearest
from ..models import ModelConfig, make_model
from ..norms import BatchNorm
from ..optim import EMA, OPTIMIZERS, SCHEDULES, clip_by_global_norm
from ..precision import checked, products_in
from ..randomness import stream
from ..tasks import Task, Text, task_from_config
from .checkpoint import load_checkpoint, previous, save_checkpoint
from .diagnosis import origin
from .folder import RunFolder
from .replay import Replay

CHECKPOINT_EVERY = 30.0  # seconds
SHARED_FROM = 1 << 15  # numbers in a layer, B T D: with fewer, the threads wait for the interpreter


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run; written to config.json.

    Args:
        task: the `config()` of a task.
        model: the `to_json()` of a ModelConfig.
        preset: the name of the mixer's options that the task asked for.
        set: the options that were changed by hand.
        seed: of batches and initial weights.
        steps: how many batches to train on.
        batch: sequences in a batch.
        lr: the largest learning rate; warmup: steps to reach it.
        clip: the largest length of the gradient.
        weight_decay: of the optimizer, where it has one.
        optimizer: a name from optim.OPTIMIZERS; optimizer_options: its other options.
        schedule: a name from optim.SCHEDULES.
        ema: how much of an average of the weights is kept at each step, e.g. 0.999; 0 for no average. Evaluation uses
            the average.
        micro_batches: parts that a batch is computed in, one after another; the gradient is that of the whole batch
            (gradient accumulation).
        segment: tokens after which back-propagation through time is cut, while the state goes on; 0 for the whole
            sequence.
        carry: text only: batches are consecutive, and each sequence's state is handed to the next batch.
        recompute: each block keeps its input alone, and is run again in the backward: less memory, more time.
        precision: of the products in linear layers, from precision.MANTISSA; everything else is float32.
        made_with: versions, for the reader.
    """

    task: Mapping[str, Any]
    model: Mapping[str, Any]
    preset: str
    set: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 800
    batch: int = 128
    lr: float = 5e-3
    warmup: int = 20
    clip: float = 1.0
    weight_decay: float = 0.01
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "cosine"
    ema: float = 0.0
    micro_batches: int = 1
    segment: int = 0
    carry: bool = False
    recompute: bool = False
    precision: str = "fp32"
    made_with: Mapping[str, str] = field(default_factory=lambda: versions())

    def __post_init__(self) -> None:
        for name, least in ("steps", 1), ("batch", 1), ("micro_batches", 1), ("segment", 0), ("warmup", 0):
            if getattr(self, name) < least:
                raise ConfigError(explain(f"{name} is {least} or more.", got=getattr(self, name)))
        for name, table in ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES):
            if getattr(self, name) not in table:
                given = str(getattr(self, name))
                rule = f"{name} is one of {', '.join(table)}."
                raise ConfigError(explain(rule, got=repr(given), fix=nearest(given, table)))
        checked(self.precision)
        if not self.weight_decay >= 0:
            raise ConfigError(explain("weight_decay is 0 or more: weights would grow.", got=self.weight_decay))
        if not 0 <= self.ema < 1:
            raise ConfigError(explain("ema is 0 for none, or below 1.", got=self.ema, fix="ema=0.999"))
        if (self.segment or self.carry) and self.model.get("kind", "language_model") != "language_model":
            raise ConfigError(explain("segment and carry are for models of tokens.", got=self.model["kind"]))
        if self.carry and self.task.get("name") != "text":
            raise ConfigError(
                explain(
                    "carry hands the state from one batch to the next, which goes on with the same text.",
                    got=f"the task {self.task.get('name')}",
                    fix="carry=false, or the task text",
                )
            )
        for name in ("lr", "clip"):
            if not getattr(self, name) > 0 or not math.isfinite(getattr(self, name)):
                raise ConfigError(explain(f"{name} is a positive number.", got=getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def versions() -> dict[str, str]:
    """What a run was made with: the reason why two machines may differ in the last bit."""
    return {
        "minilinear": importlib.metadata.version("minilinear"),
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}",
    }


@dataclass(frozen=True)
class Progress:
    """What one step showed."""

    step: int
    loss: float
    gradient_norm: float
    lr: float
    seconds: float
    tokens: int


class Run:
    """A run at some step. Make one with `start` or `resume`; call `advance` until `finished`.

    Attributes:
        model, task, config, folder: what they say.
        step: batches trained on so far.
        seconds: time spent on them, over all sittings.
        backends: [step, the backend that computed from there on]: more than one where a run went on elsewhere.
        precisions: [step, the precision of products from there on]: more than one after a change of mind.
        replay: what records a step as a CUDA graph, after `use_graph`.
        tokens_per_second: trained on in this sitting; None before its first step.
        checkpoint_every: seconds of training between two checkpoints.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, task: Task):
        self.config, self.folder, self.task = config, folder, task
        self.model = make_model(ModelConfig.from_json(config.model), rng=stream(config.seed, "weights"))
        self.model.recomputes = config.recompute
        self.parameters = self.model.parameters()
        self.whole_batches = any(isinstance(module, BatchNorm) for _, module in self.model.modules())
        if self.whole_batches and (config.micro_batches > 1 or config.segment):
            rule = "A norm over the batch wants to see it whole."
            got = f"norm {self.model.config.norm}, micro_batches {config.micro_batches}, segment {config.segment}"
            raise ConfigError(explain(rule, got=got, fix="micro_batches=1 and segment=0, or norm=rms_norm"))
        options = dict(config.optimizer_options)
        if "weight_decay" in inspect.signature(OPTIMIZERS[config.optimizer]).parameters:
            options["weight_decay"] = config.weight_decay
        self.optimizer = OPTIMIZERS[config.optimizer](self.parameters, lr=config.lr, **options)
        self.average = EMA(self.parameters, decay=config.ema) if config.ema else None
        self.carried: Any = None  # a state for each sequence, where batches are consecutive
        self.step, self.seconds, self._saved_at = 0, 0.0, 0.0
        self._sitting = 0, 0.0  # tokens and seconds
        self.replay: Replay | None = None
        self.checkpoint_every = CHECKPOINT_EVERY
        self.backends: list[list[Any]] = []
        self.precisions: list[list[Any]] = [[0, config.precision]]

    @classmethod
    def start(cls, config: RunConfig, folder: RunFolder, task: Task) -> Run:
        """A new run in a new folder."""
        run = cls(config, folder, task)
        folder.write_config(config.to_json())
        return run

    @classmethod
    def resume(cls, folder: RunFolder) -> Run:
        """The run in a folder, at its last checkpoint; what metrics.jsonl says of later steps is forgotten.

        Raises:
            RunError: no run there, or a damaged file. ConfigError: the task's data have changed since.
        """
        try:
            config = RunConfig(**folder.read_config())
        except TypeError as reason:
            raise ConfigError(
                explain(f"{folder.config} is not a run's configuration.", got=reason, see="damaged-file")
            ) from None
        run = cls(config, folder, task_from_config(dict(config.task)))
        if folder.checkpoint.exists() or previous(folder.checkpoint).exists():
            arrays, metadata = load_checkpoint(folder.checkpoint)
            try:
                run.model.load_state_dict(_of("model.", arrays))
                run.optimizer.load_state_dict(_of("optimizer.", arrays))
                if run.average is not None:
                    run.average.load_state_dict(_of("average.", arrays))
            except ValueError as reason:  # also a ShapeError
                rule = f"{folder.checkpoint} is not that of the model and optimizer in {folder.config}."
                fix = "config.json as it was when the run began"
                raise RunError(explain(rule, got=str(reason).split("\n")[0], fix=fix, see="other-model")) from None
            if any(name.startswith("carried.") for name in arrays):
                run.carried = _unflattened(_of("carried.", arrays), run.model.initial_state(config.batch))
            run.step, run.seconds = metadata["step"], metadata["seconds"]
            run._saved_at = run.seconds
            run.backends = metadata.get("backends", run.backends)
            run.precisions = metadata.get("precisions", run.precisions)
            run.config = replace(config, precision=run.precisions[-1][1])
        return run

    def go_on_in(self, precision: str) -> None:
        """Compute products in another precision from here on. Weights and the optimizer's state are float32 in all.

        Raises:
            ConfigError: no such precision.
        """
        if checked(precision) != self.config.precision:
            self.precisions.append([self.step, precision])
            self.config = replace(self.config, precision=precision)

    def use_graph(self) -> None:
        """Record a step as a CUDA graph, where there is a GPU and the step can be recorded; `replay` says which."""
        why = None
        if not backend.on_gpu():
            why = "a graph is recorded on a GPU"
        elif self.whole_batches or self.config.segment or self.config.carry:
            why = "a step with segments, carried states or statistics of the batch is not recorded"
        self.replay = Replay(self.model, self.parameters, why)

    @property
    def finished(self) -> bool:
        return self.step >= self.config.steps

    def advance(self) -> Progress:
        """Train on one batch.

        Raises:
            TrainingFailed: the loss or its gradient is not finite; nothing was changed then.
        """
        start, config = time.perf_counter(), self.config
        inputs, targets = self._batch()
        before = self.carried, [(buffer, buffer.data) for _, buffer in self.model.named_buffers()]
        exact = products_in(config.precision)
        with exact, backend.single_threaded_blas(), np.errstate(over="ignore", invalid="ignore"):  # looked at below
            loss, gradients = self._gradients(inputs, targets)
            gradients, norm = clip_by_global_norm(gradients, config.clip)
            if not math.isfinite(loss) or not math.isfinite(norm):
                failure = self._failed(inputs, targets, loss, norm)
                self.carried, buffers = before
                for buffer, array in buffers:
                    buffer.data = array
                raise failure
            lr = SCHEDULES[config.schedule](
                self.step, config.steps, peak=config.lr, warmup=config.warmup, final=config.lr / 100
            )
            self.optimizer.step(gradients, lr)
            if self.average is not None:
                self.average.update()
        tokens, seconds = math.prod(inputs.shape[:2]), time.perf_counter() - start
        if not self.backends or self.backends[-1][1] != backend.current_backend():
            self.backends.append([self.step, backend.current_backend()])
        self.step += 1
        self.seconds += seconds
        self._sitting = self._sitting[0] + tokens, self._sitting[1] + seconds
        return Progress(self.step, loss, norm, lr, self.seconds, tokens)

    @property
    def tokens_per_second(self) -> float | None:
        tokens, seconds = self._sitting
        return tokens / seconds if tokens else None

    def _batch(self) -> tuple[np.ndarray, np.ndarray]:
        config = self.config
        if not config.carry or not isinstance(self.task, Text):
            return self.task.batch(stream(config.seed, "batch", self.step), config.batch)
        if self.task.starts_again(self.step, config.batch):
            self.carried = None
        return self.task.consecutive(self.step, config.batch)

    def _gradients(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The loss and its gradient. Micro-batches follow one another; each thread takes a part of each. The parts'
        means are weighed by what they counted, so their sum is the mean over the batch.
        """
        config = self.config
        counted = (targets >= 0) if targets.dtype.kind == "i" else np.ones(targets.shape, bool)
        total = max(int(counted.sum()), 1)
        threads = backend.threads() if inputs.size * self.model.config.D >= SHARED_FROM else 1
        if self.whole_batches:
            threads = 1  # a norm over the batch wants to see it whole

        def part(b: slice) -> tuple[list[np.ndarray], list[np.ndarray], Any]:
            state = None if self.carried is None else _rows(self.carried, b)
            step = functools.partial(self._part, inputs[b], targets[b], counted[b], total, state)
            if self.replay is None:
                return step()
            return self.replay(inputs[b], targets[b], int(counted[b].sum()) / total, step)

        parts: list[tuple[list[np.ndarray], list[np.ndarray], Any]] = []
        size = -(-len(inputs) // min(config.micro_batches, len(inputs)))
        for first in range(0, len(inputs), size):
            length = min(size, len(inputs) - first)
            parts += backend.side_by_side(functools.partial(_shifted, part, first), length, threads)
        if config.carry:
            self.carried = _joined([state for _, _, state in parts])
        gradients = [functools.reduce(np.add, gs) for gs in zip(*(gradients for _, gradients, _ in parts))]
        losses = np.stack([loss for losses, _, _ in parts for loss in losses])
        return sum(losses.tolist()), gradients  # read back when all of the work is under way: a GPU does not wait

    def _part(
        self, inputs: np.ndarray, targets: np.ndarray, counted: np.ndarray, total: int, state: Any
    ) -> tuple[list[np.ndarray], list[np.ndarray], Any]:
        """The share of some sequences in the loss, for each segment, and in the gradient."""
        config, losses, gradients = self.config, [], None
        length = config.segment or inputs.shape[1]
        for t in range(0, inputs.shape[1], length):
            x, y, weight = inputs, targets, int(counted.sum()) / total
            if config.segment:
                x, y = inputs[:, t : t + length], targets[:, t : t + length]
                weight = int(counted[:, t : t + length].sum()) / total
            outputs, state = self.model(x) if state is None else self.model(x, state)
            here = self.loss(outputs, y) * weight
            losses.append(here.data)
            own = [0 * p.data if g is None else g.data for p, g in zip(self.parameters, self._grad(here))]
            gradients = own if gradients is None else [a + b for a, b in zip(gradients, own)]
            state = tuple(s.detach() if hasattr(s, "detach") else s for s in state)
        return losses, gradients or [], state

    def _grad(self, loss: Tensor) -> Sequence[Tensor | None]:
        """Parameters that a segment did not reach have no gradient in it."""
        return grad(loss, self.parameters, allow_unused=True)

    def loss(self, outputs: Tensor, targets: np.ndarray) -> Tensor:
        """Cross-entropy of scores; of a regressor, the mean squared error."""
        if self.model.config.kind != "regressor":
            return cross_entropy(outputs, targets)
        error = outputs[..., 0] - backend.beside(targets, outputs.data)
        return (error * error).mean()

    def _failed(self, inputs: np.ndarray, targets: np.ndarray, loss: float, norm: float) -> TrainingFailed:
        """A loss or gradient that is not finite: the step, the call it came from, and where to go back to."""
        with np.errstate(all="ignore"):
            outputs, _ = self.model(inputs) if self.carried is None else self.model(inputs, self.carried)
            where = origin(self.loss(outputs, targets), dict(self.model.named_parameters()))
        last = "none was written yet"
        if self.folder.checkpoint.exists():
            last = f"{self.folder.checkpoint} at step {load_checkpoint(self.folder.checkpoint)[1]['step']}"
        return TrainingFailed(
            explain(
                f"The loss or its gradient is not finite any more at step {self.step}.",
                got=f"loss {loss}, gradient length {norm}; it comes from {where}; last good checkpoint: {last}",
                fix=f"a smaller learning rate: --lr {self.config.lr / 3:.1g}",
            )
        )

    def record(self, progress: Progress) -> None:
        """Add a line to metrics.jsonl."""
        self.folder.append_metrics(asdict(progress))

    def save(self) -> None:
        """Write a checkpoint: weights, the optimizer's averages, the step."""
        arrays = {f"model.{name}": array for name, array in self.model.state_dict().items()}
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state_dict().items()}
        if self.average is not None:
            arrays |= {f"average.{name}": array for name, array in self.average.state_dict().items()}
        if self.carried is not None:
            arrays |= {f"carried.{i}": array for i, array in enumerate(_flat(self.carried))}
        progress = {name: getattr(self, name) for name in ("step", "seconds", "backends", "precisions")}
        save_checkpoint(self.folder.checkpoint, arrays, progress)
        self._saved_at = self.seconds

    def save_if_due(self) -> None:
        """Write a checkpoint when the last one is older than `checkpoint_every` seconds of training."""
        if self.seconds - self._saved_at >= self.checkpoint_every:
            self.save()


def _of(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


# The state of a model, a NamedTuple of arrays for each block: as rows of a batch, as a list, and back.


def _flat(state: Any) -> list[np.ndarray]:
    return [array for block in state for array in block]


def _unflattened(arrays: Mapping[str, np.ndarray], like: Any) -> Any:
    given = iter([arrays[str(i)] for i in range(len(arrays))])
    return tuple(type(block)(*(backend.beside(next(given), x) for x in block)) if block else block for block in like)


def _shifted(part: Callable[[slice], Any], first: int, b: slice) -> Any:
    return part(slice(first + b.start, first + b.stop))


def _rows(state: Any, b: slice) -> Any:
    return tuple(type(block)(*(array[b] for array in block)) if block else block for block in state)


def _joined(states: Sequence[Any]) -> Any:
    return tuple(
        type(blocks[0])(*(np.concatenate(arrays) for arrays in zip(*blocks))) if blocks[0] else blocks[0]
        for blocks in zip(*states)
    )
