"""One training run: a model, a task, an optimizer and the folder they are written to.

    loss_t = cross entropy of model(inputs) against targets,     batch t drawn from stream(seed, "batch", t)
    gradient, clipped to a length;  AdamW with a cosine learning rate

A run is a pure function of its configuration: batches and initial weights come from (seed, name, step), so a run that
was killed and resumed ends where it would have ended (bit for bit on the same machine, versions and threads).
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import backend
from ..autograd import cross_entropy, grad, no_grad
from ..errors import ConfigError, TrainingFailed, explain
from ..models import LanguageModel, ModelConfig
from ..optim import AdamW, clip_by_global_norm, cosine
from ..randomness import stream
from ..tasks import GroupWords, Task, Text, accuracy, task_from_config
from .checkpoint import load_checkpoint, previous, save_checkpoint
from .folder import RunFolder

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
        weight_decay: of AdamW.
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
    made_with: Mapping[str, str] = field(default_factory=lambda: versions())

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(explain(f"{name} is 1 or more.", got=getattr(self, name)))
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
    """

    def __init__(self, config: RunConfig, folder: RunFolder, task: Task):
        self.config, self.folder, self.task = config, folder, task
        self.model = LanguageModel(ModelConfig.from_json(config.model), rng=stream(config.seed, "weights"))
        self.parameters = self.model.parameters()
        self.optimizer = AdamW(self.parameters, lr=config.lr, weight_decay=config.weight_decay)
        self.step, self.seconds, self._saved_at = 0, 0.0, 0.0

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
            raise ConfigError(explain(f"{folder.config} is not a run's configuration.", got=reason)) from None
        run = cls(config, folder, task_from_config(dict(config.task)))
        if folder.checkpoint.exists() or previous(folder.checkpoint).exists():
            arrays, metadata = load_checkpoint(folder.checkpoint)
            run.model.load_state_dict(_of("model.", arrays))
            run.optimizer.load_state_dict(_of("optimizer.", arrays))
            run.step, run.seconds = metadata["step"], metadata["seconds"]
            run._saved_at = run.seconds
        return run

    @property
    def finished(self) -> bool:
        return self.step >= self.config.steps

    def advance(self) -> Progress:
        """Train on one batch.

        Raises:
            TrainingFailed: the loss or its gradient is not finite; nothing was changed then.
        """
        start, config = time.perf_counter(), self.config
        inputs, targets = self.task.batch(stream(config.seed, "batch", self.step), config.batch)
        with backend.single_threaded_blas():
            loss, gradients = self._gradients(inputs, targets)
            gradients, norm = clip_by_global_norm(gradients, config.clip)
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise TrainingFailed(
                    explain(
                        f"The loss is not finite any more at step {self.step}.",
                        got=f"loss {loss}, gradient length {norm}",
                        fix=f"a smaller learning rate: --lr {config.lr / 3:.1g}",
                    )
                )
            lr = cosine(self.step, config.steps, peak=config.lr, warmup=config.warmup, final=config.lr / 100)
            self.optimizer.step(gradients, lr)
        self.step += 1
        self.seconds += time.perf_counter() - start
        return Progress(self.step, loss, norm, lr, self.seconds, inputs.size)

    def _gradients(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The loss and its gradient. Each thread takes a part of the batch; the parts' means are weighed by what they
        counted, so their sum is the mean over the batch.
        """
        total = max(int((targets >= 0).sum()), 1)

        def part(b: slice) -> tuple[float, list[np.ndarray]]:
            weight = int((targets[b] >= 0).sum()) / total
            logits, _ = self.model(inputs[b])
            loss = cross_entropy(logits, targets[b]) * weight
            return loss.item(), [g.data for g in grad(loss, self.parameters)]

        work = inputs.size * self.model.config.D
        parts = backend.side_by_side(part, len(inputs), backend.threads() if work >= SHARED_FROM else 1)
        return sum(loss for loss, _ in parts), [sum(gs) for gs in zip(*(gradients for _, gradients in parts))]

    def record(self, progress: Progress) -> None:
        """Add a line to metrics.jsonl."""
        self.folder.append_metrics(asdict(progress))

    def save(self) -> None:
        """Write a checkpoint: weights, the optimizer's averages, the step."""
        arrays = {f"model.{name}": array for name, array in self.model.state_dict().items()}
        arrays |= {f"optimizer.{name}": array for name, array in self.optimizer.state_dict().items()}
        save_checkpoint(self.folder.checkpoint, arrays, {"step": self.step, "seconds": self.seconds})
        self._saved_at = self.seconds

    def save_if_due(self) -> None:
        """Write a checkpoint when the last one is older than half a minute of training."""
        if self.seconds - self._saved_at >= CHECKPOINT_EVERY:
            self.save()


def _of(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


# What a trained model can do. Evaluation draws from a stream of its own, the same for every model and seed.

EVALUATION_SEED = 20_250_214


def evaluate_words(model: LanguageModel, task: GroupWords, *, words: int = 512) -> dict[str, dict[str, float]]:
    """Accuracy at 1, 2, 4 and 8 times the longest training length: at all positions ("mean"), at the last ("last")."""
    found = {}
    for length in (task.lengths[1] * times for times in (1, 2, 4, 8)):
        inputs, targets = task.evaluation(stream(EVALUATION_SEED, "evaluation", length), length, words)
        with no_grad(), backend.single_threaded_blas():
            logits, _ = model(inputs)
        found[str(length)] = accuracy(logits.data.argmax(-1), targets)
    return found


def evaluate_text(model: LanguageModel, task: Text, *, limit: int | None = None) -> dict[str, float]:
    """Bits per character of the held-out text, mean of -log2 p(next character).

    "windows": every window of the training length begins with an empty state. "carried": the state is handed from each
    window to the next, so that the model reads the held-out text as one.
    """
    inputs, targets = task.held_out_windows(limit=limit)
    windows, carried, count, state = 0.0, 0.0, 0, None
    with no_grad():
        for i in range(0, len(inputs), 16):
            part, counted = targets[i : i + 16], int((targets[i : i + 16] >= 0).sum())
            logits, _ = model(inputs[i : i + 16])
            windows += cross_entropy(logits, part).item() * counted
            logits, state = model(inputs[i : i + 16].reshape(1, -1), state)
            carried += cross_entropy(logits, part.reshape(1, -1)).item() * counted
            count += counted
    return {"windows": windows / count / math.log(2), "carried": carried / count / math.log(2)}
