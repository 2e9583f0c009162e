"""`minilinear catalogue` and `minilinear list`: everything there is, a row for each component.

What stands in a component's own docstring (its source, its cost) is read from there; an equation in one line, the size
of a state and the page that explains it stand here. A component without a row fails a test.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import minilinear

from .. import models, norms, optim, training
from ..attention import FEATURE_MAPS
from ..errors import ConfigError, explain, nearest
from ..learn.course import Course
from ..learn.exercise import Exercise
from ..models import FEED_FORWARDS, MIXERS, NORMS, PLACEMENTS
from ..models.block import Block
from ..nn import ACTIVATIONS
from ..optim import OPTIMIZERS, SCHEDULES
from ..tasks import TASKS
from .console import AsJson, Plain, make_console, print_json, say, show_table

# Name -> (equation, state of one sequence and layer or "", page). H heads, K and V key and value dim, D model, E
# hidden, F features, T tokens, W window or taps, R steps, P parameters.
MEMORY = "H K V + (W-1) channels"
EQUATIONS: dict[str, dict[str, tuple[str, str, str]]] = {
    "mixer": {
        "softmax": (
            "o_t = Σ_{s≤t} softmax_s(q_t·k_s/√K) v_s",
            "T G (K + V); with a window min(T, W)",
            "softmax-attention",
        ),
        "linear": (
            "S_t = S_{t-1} + φ(k_t) v_tᵀ,  o_t = S_tᵀφ(q_t) / z_t·φ(q_t)",
            "H F (V + 1 if normalised) + (W-1) channels",
            "mixers",
        ),
        "retention": ("S_t = γ R S_{t-1} + k_t v_tᵀ,  γ_h = 1 - 2^(-5-h)", MEMORY, "mixers"),
        "simple_gla": ("S_t = α_t S_{t-1} + k_t v_tᵀ", MEMORY, "mixers"),
        "mamba2": ("h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_tᵀ,  y_t = h_tᵀC_t + D x_t", MEMORY, "mixers"),
        "gla": ("S_t = Diag(α_t) S_{t-1} + k_t v_tᵀ", MEMORY, "mixers"),
        "delta_net": ("S_t = (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ", MEMORY, "mixers"),
        "gated_delta_net": ("S_t = α_t (I - β_t k_t k_tᵀ) S_{t-1} + β_t k_t v_tᵀ", MEMORY, "mixers"),
        "delta_product": ("S_t = Π_r (I - β_r k_r k_rᵀ) S_{t-1} + ...", MEMORY, "three-cups"),
        "gated_delta_product": ("S_t = α_t Π_r (I - β_r k_r k_rᵀ) S_{t-1} + ...", MEMORY, "mixers"),
        "kda": ("S_t = (I - β_t k_t k_tᵀ) Diag(α_t) S_{t-1} + β_t k_t v_tᵀ", MEMORY, "mixers"),
    },
    "feature map": {
        "identity": ("φ(x) = x", "", "mixers"),
        "elu": ("φ(x) = 1 + elu(x)", "", "mixers"),
        "relu": ("φ(x) = max(0, x)", "", "mixers"),
        "relu_squared": ("φ(x) = max(0, x)²", "", "mixers"),
        "softmax": ("φ(x)_i = exp(x_i) / Σ_j exp(x_j)", "", "mixers"),
        "t2r": ("φ(x) = relu(W x + b)", "", "mixers"),
        "hadamard": ("φ(x) = (W₁x + b₁) ⊙ (W₂x + b₂)", "", "mixers"),
        "dpfp": ("φ(x) = r_i r_{i-j},  r = relu([x, -x])", "", "mixers"),
        "taylor": ("φ(q)·φ(k) = 1 + s + s²/2,  s = q·k/√K", "", "mixers"),
        "favor": ("E φ(q)·φ(k) = exp(q·k/√K)", "", "mixers"),
    },
    "norm": {
        "layer_norm": ("y = (x - μ) / √(σ² + ε) ⊙ γ + β", "", "norms"),
        "rms_norm": ("y = x / √(mean x² + ε) ⊙ γ", "", "norms"),
        "simple_rms_norm": ("y = x / √(mean x² + ε)", "", "norms"),
        "l2_norm": ("y = x / √(Σ x² + ε)", "", "norms"),
        "crms_norm": ("y = x / √((Σ x² + (Σ x)²) / (D + 1) + ε)", "", "norms"),
        "group_norm": ("LayerNorm of each group of channels", "", "norms"),
        "batch_norm": ("y = (x - μ_batch) / √(σ²_batch + ε) ⊙ γ + β", "2 D running statistics", "norms"),
        "dynamic_tanh": ("y = γ ⊙ tanh(α x) + β", "", "norms"),
    },
    "placement": {
        "pre": ("x + F(N(x))", "", "learn/04-layers-and-norms"),
        "post": ("N(x + F(x))", "", "learn/04-layers-and-norms"),
        "peri": ("x + N(F(N(x))), and N on the embedding", "", "learn/04-layers-and-norms"),
        "sandwich": ("x + N(F(N(x)))", "", "learn/04-layers-and-norms"),
        "mix_ln": ("post in the first quarter of the blocks, then pre", "", "learn/04-layers-and-norms"),
        "layer_norm_scaling": ("x + F(N(x) / √l)", "", "learn/04-layers-and-norms"),
        "deep_norm": ("N((2L)^¼ x + F(x)), F smaller by (8L)^-¼", "", "learn/04-layers-and-norms"),
    },
    "feed-forward": {
        "swiglu": ("(silu(x W₁) ⊙ x W₂) W₃", "", "feed-forward"),
        "geglu": ("(gelu(x W₁) ⊙ x W₂) W₃", "", "feed-forward"),
        "reglu": ("(relu(x W₁) ⊙ x W₂) W₃", "", "feed-forward"),
        "sglu": ("(x W₁ ⊙ x W₂) W₃", "", "feed-forward"),
        "mlp": ("gelu(x W₁ + b₁) W₂ + b₂", "", "feed-forward"),
        "gelu_mlp": ("gelu(x W₁ + b₁) W₂ + b₂", "", "feed-forward"),
        "relu_squared_mlp": ("relu(x W₁ + b₁)² W₂ + b₂", "", "feed-forward"),
        "poly_relu": ("p(relu(x W₁)) W₂,  p(r) = w₁r³ + w₂r² + w₃r + b", "", "feed-forward"),
        "poly_norm": ("(w₁n(u³) + w₂n(u²) + w₃n(u) + b) W₂,  u = x W₁", "", "feed-forward"),
        "top_k": ("top_k(relu(x W₁)) W₂", "", "feed-forward"),
        "b_spline_kan": ("y_j = Σ_i w silu(x_i) + Σ_m c_m B_m(x_i)", "", "kan"),
        "rbf_kan": ("B_m(x) = exp(-((x - c_m)/h)²)", "", "kan"),
        "chebyshev_kan": ("B_n(x) = T_n(tanh x)", "", "kan"),
        "gr_kan": ("F(x) = Σ a_i xⁱ / (1 + Σ |b_j| |x|ʲ), per group", "", "kan"),
    },
    "optimizer": {
        "sgd": ("x ← x - η g", "0", "optimizers"),
        "momentum": ("b ← μ b + g,  x ← x - η b", "P", "optimizers"),
        "nesterov": ("b ← μ b + g,  x ← x - η (g + μ b)", "P", "optimizers"),
        "adam": ("x ← x - η m̂ / (√v̂ + ε)", "2 P", "optimizers"),
        "adamw": ("x ← (1 - η λ) x - η m̂ / (√v̂ + ε)", "2 P", "optimizers"),
        "adagrad": ("G ← G + g²,  x ← x - η g / (√G + ε)", "P", "optimizers"),
        "adagrad_norm": ("s ← s + |g|²,  x ← x - η g / √s", "1", "optimizers"),
        "lars": ("x ← x - η τ |x| / |g + λx| (g + λx), with momentum", "P", "optimizers"),
        "lamb": ("x ← x - η |x| / |u| u,  u = m̂ / (√v̂ + ε) + λ x", "2 P", "optimizers"),
        "sgdp": ("sgd with momentum, its radial part taken out", "P", "optimizers"),
        "adamp": ("adam, its radial part taken out", "2 P", "optimizers"),
        "muon": ("x ← x - η √max(1, out/in) U Vᵀ,  momentum = U Σ Vᵀ", "P", "optimizers"),
        "conda": ("adam in the singular basis of its momentum", "2 P + n²", "optimizers"),
    },
    "schedule": {
        "constant": ("η", "", "optimizers"),
        "cosine": ("η_min + (η - η_min)(1 + cos πs) / 2", "", "optimizers"),
        "linear": ("η + (η_min - η) s", "", "optimizers"),
        "inverse_sqrt": ("η √(warmup / t)", "", "optimizers"),
        "wsd": ("warm up, stay, decay", "", "optimizers"),
    },
    "activation": {
        "relu": ("max(0, x)", "", "feed-forward"),
        "relu_squared": ("max(0, x)²", "", "feed-forward"),
        "gelu": ("x Φ(x)", "", "feed-forward"),
        "gelu_tanh": ("x (1 + tanh(√(2/π)(x + 0.044715 x³))) / 2", "", "feed-forward"),
        "silu": ("x σ(x)", "", "feed-forward"),
        "tanh": ("tanh x", "", "feed-forward"),
        "identity": ("x", "", "feed-forward"),
    },
    "tool": {
        "gated_rms_norm": ("rms_norm(x) ⊙ silu(z), or rms_norm(x ⊙ silu(z))", "", "norms"),
        "fuse_affine_into_linear": ("W' = W Diag(a), b' = b + W c", "", "norms"),
        "pre_rms": ("LayerNorm → RMSNorm, the same function", "", "norms"),
        "pre_crms": ("LayerNorm → CRMSNorm on D - 1 numbers, the same function", "", "norms"),
        "clip_by_global_norm": ("g ← g min(1, τ / |g|)", "", "optimizers"),
        "adaptive_clip": ("g_i ← g_i min(1, λ |x_i| / |g_i|)", "", "optimizers"),
        "ema": ("s ← d s + (1 - d) x,  x̄ = s / (1 - dᵗ)", "P", "optimizers"),
        "mup_groups": ("η ← η / width for hidden matrices (Adam)", "", "optimizers"),
        "bits_by_position": ("-log₂ p, by distance from the beginning", "", "tasks"),
    },
    "task": {
        **dict.fromkeys(
            ("s3", "s4", "s5", "a4", "a5", "z2", "z7", "d4", "words"),
            ("p_t = p_{t-1} x_t in the group", "", "learn/12-state-tracking"),
        ),
        "text": ("the next character", "", "comparisons"),
        "parity": ("p_t = p_{t-1} xor x_t", "", "tasks"),
        "arithmetic": ("the value of an expression modulo m", "", "tasks"),
        "recall": ("what a key holds now", "", "tasks"),
        "mqar": ("the value of a key, at its second appearance", "", "tasks"),
        "copying": ("what was read, again", "", "tasks"),
        "selective_copying": ("the letters among blanks", "", "tasks"),
        "needles": ("a fact in a long text", "", "tasks"),
        "digits": ("which of ten digits, from 8 × 8 numbers", "", "data-sets"),
        "glyphs": ("which of ten digits, drawn with noise", "", "data-sets"),
        "in_context_regression": ("y of x, from examples (x_i, y_i)", "", "data-sets"),
    },
}
# Where several components share a file or a class, the source of each.
SOURCES = {
    ("placement", "pre"): "Xiong et al. 2020, arXiv 2002.04745",
    ("placement", "post"): "Vaswani et al. 2017, arXiv 1706.03762",
    ("placement", "peri"): "Kim et al. 2025, arXiv 2502.02732",
    ("placement", "sandwich"): "Ding et al. 2021, arXiv 2105.13290",
    ("placement", "mix_ln"): "Li et al. 2025, arXiv 2412.13795",
    ("placement", "layer_norm_scaling"): "Sun et al. 2025, arXiv 2502.05795",
    ("placement", "deep_norm"): "Wang et al. 2022, arXiv 2203.00555",
    ("feature map", "identity"): "Schmidhuber 1992; Schlag et al. 2021, arXiv 2102.11174",
    ("feature map", "elu"): "Katharopoulos et al. 2020, arXiv 2006.16236",
    ("feature map", "relu"): "Qin et al. 2022, arXiv 2202.08791",
    ("feature map", "relu_squared"): "So et al. 2021, arXiv 2109.08668, for the function",
    ("feature map", "softmax"): "Shen et al. 2018, arXiv 1812.01243",
    ("feature map", "t2r"): "Kasai et al. 2021, arXiv 2103.13076",
    ("feature map", "hadamard"): "the released flash-linear-attention",
    ("feature map", "dpfp"): "Schlag et al. 2021, arXiv 2102.11174",
    ("feature map", "taylor"): "Arora et al. 2024, arXiv 2402.18668",
    ("feature map", "favor"): "Choromanski et al. 2020, arXiv 2009.14794",
    ("feed-forward", "relu_squared_mlp"): "So et al. 2021, arXiv 2109.08668",
    ("feed-forward", "poly_relu"): "Zhuo et al. 2025, arXiv 2411.03884",
    ("feed-forward", "poly_norm"): "Zhuo et al. 2025, arXiv 2411.03884",
    ("activation", "relu"): "Nair and Hinton 2010",
    ("activation", "relu_squared"): "So et al. 2021, arXiv 2109.08668",
    ("activation", "gelu"): "Hendrycks and Gimpel 2016, arXiv 1606.08415",
    ("activation", "gelu_tanh"): "Hendrycks and Gimpel 2016, arXiv 1606.08415",
    ("activation", "tanh"): "-",
    ("activation", "identity"): "-",
    ("activation", "silu"): "Elfwing et al. 2017, arXiv 1702.03118",
    ("schedule", "constant"): "-",
    ("schedule", "linear"): "Devlin et al. 2018, arXiv 1810.04805, appendix A.2",
    ("task", "text"): "Python's reference topics, or any UTF-8 file",
    ("task", "glyphs"): "drawn here",
    ("tool", "ema"): "Polyak and Juditsky 1992",
    ("tool", "gated_rms_norm"): "Dao and Gu 2024, arXiv 2405.21060",
    ("tool", "bits_by_position"): "-",
    ("tool", "fuse_affine_into_linear"): "Jacob et al. 2018, arXiv 1712.05877, section 3.2",
}
KINDS: dict[str, Mapping[str, Any]] = {
    "mixer": MIXERS,
    "feature map": FEATURE_MAPS,
    "norm": NORMS,
    "placement": dict.fromkeys(PLACEMENTS, Block),
    "feed-forward": FEED_FORWARDS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "task": TASKS,
    "activation": ACTIVATIONS,
    "tool": {
        "gated_rms_norm": norms.GatedRMSNorm,
        "fuse_affine_into_linear": norms.fuse_affine_into_linear,
        "pre_rms": models.pre_rms,
        "pre_crms": models.pre_crms,
        "clip_by_global_norm": optim.clip_by_global_norm,
        "adaptive_clip": optim.adaptive_clip,
        "ema": optim.EMA,
        "mup_groups": optim.mup_groups,
        "bits_by_position": training.bits_by_position,
    },
}
FORMS = {"mixer": "recurrent, parallel, chunk, step"}


DIAGONAL, DELTA = "gated_linear_attention", "delta_product"
KERNELS: dict[str, dict[str, str]] = {  # kind -> name -> the function in it that has kernels in gpu/
    "mixer": {"softmax": "softmax_attention"}
    | dict.fromkeys(("linear", "retention", "simple_gla", "mamba2", "gla"), DIAGONAL)
    | dict.fromkeys(("delta_net", "gated_delta_net", "delta_product", "gated_delta_product", "kda"), DELTA),
    "norm": {name: name for name in ("layer_norm", "rms_norm", "l2_norm")} | {"simple_rms_norm": "rms_norm"},
    "feed-forward": {
        "swiglu": "silu_glu",
        "geglu": "gelu_glu",
        "reglu": "relu_glu",
        "b_spline_kan": "cubic_spline",
        "gr_kan": "group_rational",
    },
    "optimizer": {"adamw": "adamw"},
    "tool": {name: name for name in ("gated_rms_norm", "clip_by_global_norm")},
}


@dataclass(frozen=True)
class Component:
    """One row.

    Attributes:
        name: on the command line.
        kind: a key of KINDS.
        equation: in one line.
        source: paper or place, as the docstring has it; arxiv: its number, where there is one.
        file: where it is defined, and symbol: under which name.
        state: numbers kept, of a mixer per sequence and layer, of an optimizer for P parameters.
        cost: multiplications, as the docstring has it.
        forms: in which it can be computed.
        kernel: the mirrored function that runs as CUDA kernels, as `minilinear kernels list` has it.
        exercise: those of the course that name it, or the recurrence that it runs.
        page: in docs/.
    """

    name: str
    kind: str
    equation: str
    source: str
    arxiv: str
    file: str
    symbol: str
    state: str
    cost: str
    forms: str
    kernel: str
    exercise: str
    page: str


def catalogue_rows() -> list[Component]:
    """Every component, kind by kind."""
    return [_row(kind, name, made) for kind, table in KINDS.items() for name, made in table.items()]


@functools.cache
def _exercises() -> list[Exercise]:
    return list(Course().exercises.values())


@functools.cache
def _named(exercise: Exercise) -> set[Any]:
    """The classes and functions that an exercise names."""
    public = (name.rpartition(".") for name in exercise.api)
    values = (getattr(importlib.import_module(package), name) for package, _, name in public)
    return {value for value in values if callable(value)}


def _row(kind: str, name: str, made: Callable[..., Any]) -> Component:
    equation, state, page = EQUATIONS[kind][name]
    value: Any = made
    while isinstance(value, functools.partial):
        value = value.keywords.get("layer", value.func)
    if kind == "task" and not inspect.isclass(value):  # a function that makes one
        value = TASKS_MADE.get(name, minilinear.tasks.GroupWords)
    module = inspect.getmodule(value)
    texts = [inspect.getdoc(value) or "", module.__doc__ if module and module.__doc__ else ""]
    found = (_section(text, "Sources?") for text in texts)
    source = SOURCES.get((kind, name)) or next(filter(None, found), "")
    number = re.search(r"(?:arXiv )?(\d{4}\.\d{4,5})", source)
    return Component(
        name=name,
        kind=kind,
        equation=equation,
        source=source,
        arxiv=number[1] if number else "",
        file=ACTIVATIONS_FILE if kind == "activation" else _file(value),
        symbol=name.removesuffix("_tanh") if kind == "activation" else value.__name__,
        state=state,
        cost=_section(texts[0], "Cost"),
        forms=FORMS.get(kind, ""),
        kernel=KERNELS.get(kind, {}).get(name, ""),
        exercise=", ".join(e.id for e in _exercises() if {value, getattr(value, "recurrence", value)} & _named(e)),
        page=f"docs/{page}.md",
    )


ACTIVATIONS_FILE = "minilinear/nn/activations.py"  # an activation may be a Primitive or NumPy's own function


def _file(value: Any) -> str:
    """Where it is defined, from the root of the repository."""
    root = Path(minilinear.__file__).parent.parent
    return Path(inspect.getsourcefile(inspect.unwrap(value)) or "").relative_to(root).as_posix()


TASKS_MADE = {"text": minilinear.tasks.Text}


def _section(text: str, name: str) -> str:
    """What a docstring says under "Source:", in one line."""
    found = re.search(rf"^{name}:[ \n]+(.+?)(?:\n\n|\n[A-Z]\w+:|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _chosen(kind: str | None) -> list[Component]:
    """The rows of a kind; "feed_forwards", "mixers" and the like will do."""
    if kind is None:
        return catalogue_rows()
    plain = lambda s: s.lower().replace("-", "").replace("_", "").replace(" ", "").removesuffix("s")
    names = {plain(k): k for k in KINDS} | {"ffn": "feed-forward"}
    if plain(kind) not in names:
        raise ConfigError(
            explain(
                f"A kind is one of {', '.join(KINDS)}.", got=repr(kind), fix=nearest(kind, [k + "s" for k in KINDS])
            )
        )
    return [row for row in catalogue_rows() if row.kind == names[plain(kind)]]


Kind = Annotated[str | None, typer.Argument(metavar="KIND", help="mixers, norms, optimizers, tasks, ...")]


def list_names(kind: Kind = None, as_json: AsJson = False, plain: Plain = False) -> None:
    """The names that --mixer, --norm, --ffn, --optimizer, --placement and TASK take."""
    rows = _chosen(kind)
    if as_json:
        print_json({k: [row.name for row in rows if row.kind == k] for k in dict.fromkeys(row.kind for row in rows)})
        return
    console = make_console(as_json, plain)
    for k in dict.fromkeys(row.kind for row in rows):
        say(console, f"{k}: {', '.join(row.name for row in rows if row.kind == k)}")


def catalogue(kind: Kind = None, as_json: AsJson = False, plain: Plain = False) -> None:
    """Every component: its equation, source, file, state, cost and page. --json has all of it."""
    rows = _chosen(kind)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    console = make_console(as_json, plain)
    for k in dict.fromkeys(row.kind for row in rows):
        cells = [(r.name, r.equation, r.state, r.arxiv, r.file) for r in rows if r.kind == k]
        show_table(console, (k, "equation", "state", "arXiv", "file"), cells, numbers=False)
