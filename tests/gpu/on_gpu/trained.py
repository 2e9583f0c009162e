"""Section `train`: small models beside NumPy, loss by loss; a larger one for its speed, and where its time goes; the
same one in torch, in turns; and where speed begins.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import minilinear as ml
from minilinear import gpu
from minilinear.gpu.launch import recorded
from minilinear.models import MIXERS
from minilinear.precision import MANTISSA
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe

from . import peers
from .peer_model import Model
from .places import Processor
from .record import Item
from .split import split
from .timed import spread

STEPS = 20
NEAR = 2e-4  # losses of 20 steps in float32, rounded otherwise at every step
LESS_MEMORY = {"--recompute": {"recompute": True}, "--accumulate 2": {"micro_batches": 2}}
PEERS = {
    "gated_delta_net": ("torch and fla",),
    "softmax": ("torch", "torch compiled"),
    "linear": ("torch", "torch compiled"),
}


def items(place: Processor, sections: Mapping[str, Any]) -> Iterator[Item]:
    for mixer in MIXERS:
        yield f"losses {mixer}", lambda mixer=mixer: losses(place, mixer)  # type: ignore[misc]
    yield "losses of a graph", lambda: losses(place, "gated_delta_net", graph=True)
    for option, training in LESS_MEMORY.items():
        yield f"losses {option}", lambda of=training: losses(place, "gated_delta_net", **of)  # type: ignore[misc]
    for precision in MANTISSA:
        yield f"text {precision}", lambda precision=precision: text(place, precision)  # type: ignore[misc]
    yield "text bf16 graph", lambda: text(place, "bf16", graph=True)
    for option, training in LESS_MEMORY.items():
        yield f"text bf16 {option}", lambda of=training: text(place, "bf16", **of)  # type: ignore[misc]
    for mixer in PEERS:
        yield f"torch {mixer}", lambda mixer=mixer: beside_torch(place, mixer)  # type: ignore[misc]
    for D in (16, 64, 128, 256, 512, 768) if place.full_size else (16,):
        yield f"width {D}", lambda D=D: width(place, D)  # type: ignore[misc]
    yield "faster from", lambda: faster_from(sections["train"])


def losses(place: Processor, mixer: str, *, graph: bool = False, **training: Any) -> dict[str, Any]:
    """20 losses of the words of S3, with kernels and with NumPy; with `graph`, as replays of what was recorded.

    Settings of `training` are those of the run with kernels: then one without them is beside it, too.
    """
    made, found = task("s3", lengths=(12, 12) if graph else (4, 12)), {}
    changes = {"mixer": mixer, "D": 32, "hidden": 32, "heads": 2}
    plain = {f"plain {place.name}": {}} if training else {}
    for name, settings in {"numpy": {}, **plain, place.name: training}.items():  # the last may be a graph
        gpu.reset_account()
        with ml.use(name.removeprefix("plain ")):
            where = Processor() if name == "numpy" else place
            run = started(where, made, changes, steps=STEPS, batch=8, **settings)
            if graph and name == place.name:
                run.use_graph()
            found[name] = [run.advance().loss for _ in range(STEPS)]
    apart = {
        f"from {name}": float(np.max(np.abs(np.divide(found[place.name], found[name]) - 1)))
        for name in found
        if name != place.name
    }
    kernels, texts = gpu.account()
    about = replays(run)
    ok = max(apart.values()) <= NEAR and not (graph and place.full_size and about["graph"]["why"])
    return {"ok": ok, **apart, **found, "kernels": kernels, "text": texts, **about}


def started(place: Processor, made: Any, changes: dict[str, Any], **training: Any) -> Run:
    """A run whose model is where it is trained."""
    run = Run(recipe(made, changes=changes, training={"steps": 30, **training}), RunFolder("nowhere"), made)
    if place.name == "cupy":
        run.model.to("cupy")
    return run


def replays(run: Run) -> dict[str, Any]:
    """How many steps were replays of a graph, and why no more; nothing if none was asked for."""
    replay = run.replay
    return {} if replay is None else {"graph": {"replayed": replay.replayed, "other": replay.other, "why": replay.why}}


def step_seconds(place: Processor, run: Run, steps: int) -> float:
    """Of a step, the median, after two to warm up."""
    run.advance(), run.advance()
    times = []
    for _ in range(steps):
        place.wait()
        began = time.perf_counter()
        run.advance()
        place.wait()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def model_of_text(place: Processor, mixer: str, precision: str, **training: Any) -> Run:
    """A language model, as large as the preset text-gpu."""
    made = task("text", length=1024 if place.full_size else 32)
    full = {"D": 768, "heads": 6, "key_dim": 128, "layers": 12}
    small = {"D": 16, "hidden": 16, "heads": 2, "layers": 1}
    changes = (full if place.full_size else small) | {"mixer": mixer, "precision": precision}
    if mixer != "softmax":
        changes |= {"value_dim": 128} if place.full_size else {}
    return started(place, made, changes, batch=8 if place.full_size else 2, **training)


def text(place: Processor, precision: str, *, graph: bool = False, **training: Any) -> dict[str, Any]:
    """Of a language model: tokens in a second, launches in a step, memory, and where the time goes."""
    place.forget()
    with place.backend:
        run = model_of_text(place, "gated_delta_net", precision, **training)
        if graph:
            run.use_graph()
        seconds = step_seconds(place, run, 10 if place.full_size else 2)
        with recorded() as launches:
            tokens = run.advance().tokens
        held = place.memory()  # before the split: kernels that run alone have other neighbours
        spent = {} if graph else {"split": split(place, run, seconds)}  # what is replayed cannot be taken apart
    names = sorted({launch.kernel for launch in launches})
    return {
        "model": run.config.model,
        "training": {"batch": run.config.batch, "precision": precision, **training},
        "step_s": seconds,
        "tokens_per_s": tokens / seconds,
        "launches_per_step": len(launches),  # of our own kernels; CuPy's and cuBLAS's are not counted
        "launches": {name: sum(launch.kernel == name for launch in launches) for name in names},
        "bytes_of_kernels": sum(launch.bytes for launch in launches),
        **spent,
        **replays(run),
        **held,
    }


def beside_torch(place: Processor, mixer: str) -> dict[str, Any]:
    """A step of a language model, here and in torch, in turns."""
    t = peers.torch() if place.full_size else peers.installed("torch")
    if t is None:
        return {"skipped": f"no torch {'that sees a GPU' if place.full_size else 'is installed'}"}
    bf16 = place.full_size
    place.forget()
    with place.backend:
        run = model_of_text(place, mixer, "bf16" if bf16 else "fp32")
        models: dict[str, Any] = {}
        why: dict[str, str] = {}
        first: dict[str, float] = {}
        for name in PEERS[mixer] if place.full_size else PEERS[mixer][:1]:  # compiling takes a processor a minute
            try:
                model = Model(t, place, run, bf16=bf16, compiled=name == "torch compiled")
                first[name], models[name] = model.step(), model
            except Exception as reason:  # whatever another library raises
                why[name] = f"{type(reason).__name__}: {reason}"
        ours = run.advance().loss
        steps: dict[str, Any] = {"minilinear": run.advance} | {name: model.step for name, model in models.items()}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for turn in range(6 if place.full_size else 2):
            for name, step in steps.items():
                for _ in range(5 if place.full_size else 1):
                    place.wait()
                    began = time.perf_counter()
                    step()  # reads its loss back: torch is done then
                    place.wait()
                    if turn:  # the first turn warms up
                        seconds[name].append(time.perf_counter() - began)
    apart = {name: abs(loss / ours - 1) for name, loss in first.items()}
    checked = {"ok": max(apart.values()) <= (2e-2 if bf16 else NEAR)} if apart else {}
    return {
        **checked,
        "precision": "bf16, and autocast to bfloat16" if bf16 else "float32",
        "step_s": {name: spread(times) for name, times in seconds.items()},
        "first_loss": {"minilinear": ours, **first},
        "skipped": why,
    }


def width(place: Processor, D: int) -> dict[str, Any]:
    """A model of text of this width, here and on the processor with NumPy: from which width on is it faster here?"""
    made, seconds = task("text", length=256 if place.full_size else 16), {}
    changes = {"mixer": "gated_delta_net", "D": D, "heads": 4, "layers": 2}
    for name in (place.name, "numpy"):
        with ml.use(name):
            where = place if name == place.name else Processor()
            seconds[name] = step_seconds(where, started(where, made, changes, batch=8 if place.full_size else 1), 3)
    return {"step_s": seconds, "times_as_fast": seconds["numpy"] / seconds[place.name]}


def faster_from(found: Mapping[str, Any]) -> dict[str, Any]:
    """The largest width at which the processor was the faster one, and the next, from which on the kernels were."""
    times = {int(name[6:]): each["times_as_fast"] for name, each in found.items() if "times_as_fast" in each}
    slower = max((D for D, faster in times.items() if faster < 1), default=0)
    return {"processor_up_to": slower or None, "kernels_from": min((D for D in times if slower < D), default=None)}
