"""Section `time`: every operation at the size of a real layer, forward and with its backward, against the ceilings.

Median, and the tenth and ninetieth percentile, of many runs; once with whatever the cache holds, once with it emptied
before each run. Of the fractions of the ceilings, bytes of the copy's and flops of the products', the largest says what
holds an operation back. Peers are timed in the same process, in turns: some runs of ours, some of each peer, and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minilinear.autograd.ops.indexing import add_rows
from minilinear.gpu.launch import recorded
from minilinear.nn import Parameter
from minilinear.optim import AdamW, clip_by_global_norm
from minilinear.precision import products_in

from . import peers
from .correct import as_text
from .exact import against_float64, drawn, first, step
from .operations import FULL, OPERATIONS, SMALL, Operation
from .places import Processor
from .record import Item

ROUNDS, REPEATS, WARM_UP = 5, 10, 2  # turns, runs in each, and runs before each that do not count


def items(place: Processor, ceilings: Mapping[str, Any]) -> Iterator[Item]:
    for name, operation in OPERATIONS.items():
        yield name, lambda name=name, operation=operation: timed(place, name, operation, ceilings)  # type: ignore[misc]
    for name, of in (("adamw", adamw), ("clip_by_global_norm", clip), ("add_rows", embedded)):
        yield name, lambda name=name, of=of: as_text(place, name) | of(place, ceilings)  # type: ignore[misc]


def timed(place: Processor, name: str, operation: Operation, ceilings: Mapping[str, Any]) -> dict[str, Any]:
    """One operation, forward and with its backward; right first, then fast."""
    sizes = FULL if place.full_size else SMALL
    found = {"sizes": dict(sizes)} | against_float64(place, operation, drawn(operation, SMALL))
    place.forget()
    arrays = {name: place.here(x) for name, x in drawn(operation, sizes).items()}
    with place.backend, products_in(operation.precision):
        out = first(operation.run(*arrays.values()))
        cotangent = place.here(np.random.default_rng(1).standard_normal(out.shape, np.float32))
        step(operation, arrays, cotangent)
        found |= place.memory()  # at the most, of all inputs, a forward and a backward: before others use the pool
        others: dict[str, Any] = {}
        if place.full_size:
            others = peers.peers_of(name, [place.numbers(x) for x in arrays.values()], place.numbers(cotangent))
        inputs, flops = sum(x.nbytes for x in arrays.values()), operation.flops(sizes)
        for what, do, least, operations in (
            ("forward", lambda: operation.run(*arrays.values()), inputs + out.nbytes, flops),
            ("forward_and_backward", lambda: step(operation, arrays, cotangent), 2 * (inputs + out.nbytes), 3 * flops),
        ):
            found[what] = measured(place, do, least, operations, ceilings, others, what)
        with recorded() as launches:
            step(operation, arrays, cotangent)
    found["launches"] = {each: sum(x.kernel == each for x in launches) for each in {x.kernel for x in launches}}
    found["moved_bytes"] = sum(x.bytes for x in launches)
    return found


def measured(
    place: Processor,
    do: Callable[[], Any],
    least: int,
    flops: float,
    ceilings: Mapping[str, Any],
    others: Mapping[str, Any] | None = None,
    what: str = "",
) -> dict[str, Any]:
    """Ours and its peers in turns: seconds, and how near the best of all possible kernels ours comes."""
    rounds = ROUNDS if place.full_size else 1
    ours: dict[str, list[float]] = {"warm": [], "emptied": []} if place.full_size else {"warm": []}
    theirs: dict[str, list[float]] = {n: [] for n, x in (others or {}).items() if not isinstance(x, str)}
    for _ in range(rounds):
        for cache, seconds in ours.items():
            runs = REPEATS if place.full_size else 3
            seconds += place.seconds(do, warm_up=WARM_UP, repeats=runs, cold=cache == "emptied")
        for name, seconds in theirs.items():
            peer = others[name]  # type: ignore[index]
            seconds += peer.seconds(getattr(peer, what), warm_up=WARM_UP, repeats=REPEATS)
    found: dict[str, Any] = {"least_bytes": least, "flops": flops}
    for cache, seconds in ours.items():
        found[cache] = spread(seconds) | fractions(float(np.median(seconds)), least, flops, ceilings)
    for name, peer in (others or {}).items():
        known = {"failed": peer} if isinstance(peer, str) else spread(theirs[name]) | {"precision": peer.precision}
        found.setdefault("peers", {})[name] = known
    return found


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, tenth and ninetieth percentile."""
    median, p10, p90 = (float(np.percentile(seconds, q)) for q in (50, 10, 90))
    return {"median_s": median, "p10_s": p10, "p90_s": p90, "runs": len(seconds)}


def fractions(seconds: float, least: int, flops: float, ceilings: Mapping[str, Any]) -> dict[str, float]:
    """Of what was measured in this run; nothing where the ceilings were not."""
    found = {"bytes_per_s": least / seconds, "flops_per_s": flops / seconds}
    for name, ceiling in ceilings.items():
        if "bytes_per_s" in ceiling:
            found[f"of {name}"] = least / seconds / ceiling["bytes_per_s"]
        if "flops_per_s" in ceiling:
            found[f"of {name}"] = flops / seconds / ceiling["flops_per_s"]
    return found


def adamw(place: Processor, ceilings: Mapping[str, Any]) -> dict[str, Any]:
    """One step of AdamW on many arrays: p, g, m and v read, p, m and v written."""
    with place.backend:
        parameters, gradients = list(map(Parameter, many(place))), many(place)
        n, optimizer = sum(g.size for g in gradients), AdamW(parameters, lr=1e-3)
        return measured(place, lambda: optimizer.step(gradients), 7 * 4 * n, 12.0 * n, ceilings)


def clip(place: Processor, ceilings: Mapping[str, Any]) -> dict[str, Any]:
    """All gradients, shrunk: read for their length, read and written again. The length is read back."""
    with place.backend:
        gradients = many(place)
        n = sum(g.size for g in gradients)
        return measured(place, lambda: clip_by_global_norm(gradients, 1.0), 3 * 4 * n, 3.0 * n, ceilings)


def many(place: Processor) -> list[Any]:
    """Arrays like those of a model."""
    count, size = (48, 1 << 20) if place.full_size else (4, 1 << 8)
    rng = np.random.default_rng(0)
    return [place.here(rng.standard_normal(size, np.float32)) for _ in range(count)]


def embedded(place: Processor, ceilings: Mapping[str, Any]) -> dict[str, Any]:
    """The gradient of an embedding: each token's row read, each of the vocabulary's written."""
    s = FULL if place.full_size else SMALL
    N, D, rows, rng = s["B"] * s["T"], s["D"], s["vocabulary"], np.random.default_rng(0)
    index = rng.integers(0, rows, N).data
    with place.backend:
        g = place.here(rng.standard_normal((N, D), np.float32))
        do = lambda: add_rows(g, index=index, shape=(rows, D))
        return measured(place, do, 4 * (N + rows) * D, float(N * D), ceilings)
