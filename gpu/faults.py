"""Mistakes to plant into the kernels, each of which must be found: the test of the checker, and of the comparison.

Every kernel has one or more. They are the mistakes that one makes: a bound left out, a barrier forgotten, a sign turned
round. Plant one by hand, run `minilinear kernels check` with its kernel's name, and read what is said.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ConfigError, explain
from . import source
from .cases import check
from .compare import compare
from .launch import KERNELS, Kernel
from .twins import TABLE


@dataclass(frozen=True)
class Fault:
    """One mistake.

    Attributes:
        kernel: its name.
        old: text of the kernel, or of its file, or of a header: what stands first is changed; new: into what.
        kind: of the finding that check mode makes, or "wrong-numbers", which only the NumPy text can tell.
    """

    kernel: str
    old: str
    new: str
    kind: str


def plant(fault: Fault, folder: Path) -> None:
    """Write copies of all kernels into a folder, one of them with the fault.

    Raises:
        ConfigError: the text that it changes is no longer there.
    """
    kernel = KERNELS[fault.kernel]
    for file in kernel.folder.iterdir():
        shutil.copy(file, folder)
    path = folder / kernel.file
    text = path.read_text("utf-8")
    offsets = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
    others = sorted(s.line for s in source.signatures(text).values() if s.line > kernel.signature.line)
    begin, end = offsets[kernel.signature.line - 1], offsets[others[0] - 1] if others else len(text)
    if fault.old in text[begin:end]:
        path.write_text(text[:begin] + text[begin:end].replace(fault.old, fault.new, 1) + text[end:], "utf-8")
        return
    for file in [path, *sorted(folder.glob("*.cuh"))]:
        text = file.read_text("utf-8")
        if fault.old in text:
            file.write_text(text.replace(fault.old, fault.new, 1), "utf-8")
            return
    rule = f"A fault of {fault.kernel} changes a text that is there."
    raise ConfigError(explain(rule, got=repr(fault.old), fix="gpu/faults.py follows the kernels"))


def found(fault: Fault, *, seed: int = 0) -> bool:
    """Plant a fault, and look whether it is found: in a case of its kernel, or by an example of its twin."""
    kernel = KERNELS[fault.kernel]
    with TemporaryDirectory() as folder:
        plant(fault, Path(folder))
        if fault.kind == "wrong-numbers":
            twin = TABLE[kernel.twin]
            results = (compare(twin, i, seed=seed, folder=Path(folder)) for i in range(len(twin.examples)))
            return any(result.wrong for result in results)
        checked = (check(kernel, case, seed=seed, folder=Path(folder)) for case in kernel.cases)
        return any(finding.kind == fault.kind for result in checked for finding in result.findings)


def look_for(kernels: Iterable[Kernel], *, seed: int = 0) -> list[tuple[Fault, bool]]:
    """Each fault of these kernels, and whether it is found."""
    names = {kernel.name for kernel in kernels}
    return [(fault, found(fault, seed=seed)) for fault in FAULTS if fault.kernel in names]


# Lines that several kernels on rows have.
BOUND = "if (row >= N) return;"
FIRST_BARRIER = ("of_warp[threadIdx.x / 32] = v;\n        __syncthreads();", "of_warp[threadIdx.x / 32] = v;")
SECOND_BARRIER = "__syncthreads();                                         // the next call"
TAIL = ("i < n; i += threads)", "i <= n; i += threads)")
ALIGNED = "aligned16(a) && aligned16(b) && aligned16(y) ? n / 4 : 0"

ROWS = [
    ("softmax_forward", BOUND, "", "out-of-bounds"),
    ("softmax_forward", "i < D", "i <= D", "out-of-bounds"),
    ("softmax_forward", *FIRST_BARRIER, "race-in-block"),  # that of block_max
    ("softmax_backward", BOUND, "", "out-of-bounds"),
    ("softmax_backward", "float along = 0.0f;", "float along;", "uninitialised-local"),
    ("log_softmax_forward", BOUND, "", "out-of-bounds"),
    ("log_softmax_backward", BOUND, "if (row >= N || threadIdx.x >= D) return;", "exited-lane"),
    ("cross_entropy_forward", BOUND, "", "out-of-bounds"),
    ("cross_entropy_forward", "logits + row * D", "logits + (row + 1) * D", "out-of-bounds"),
    ("cross_entropy_backward", BOUND, "", "out-of-bounds"),
    ("cross_entropy_backward", "scale[0]", "scale[row]", "out-of-bounds"),
    ("silu_times_forward", *TAIL, "out-of-bounds"),
    (
        "silu_times_backward",
        "i < n; i += threads) {\n        float c",
        "i <= n; i += threads) {\n        float c",
        "out-of-bounds",
    ),
    ("silu_glu_forward", ALIGNED, "n / 4", "misaligned"),
    ("silu_glu_backward", "aligned ? n / 4 : 0", "n / 4", "misaligned"),
    ("gelu_glu_forward", "y + row * E", "y", "race-between-blocks"),
    ("gelu_glu_backward", "g + row * E", "g + row * 2 * E", "out-of-bounds"),
    ("relu_glu_forward", *TAIL, "out-of-bounds"),
    ("relu_glu_backward", "dx + row * 2 * E", "dx + row * E", "race-between-blocks"),
    ("rms_norm_forward", BOUND, "if (row >= N || threadIdx.x >= D) return;", "exited-lane"),
    ("rms_norm_forward", "w ? w[i] : 1.0f", "w[i]", "null-argument"),
    ("rms_norm_backward", BOUND, "", "out-of-bounds"),
    ("layer_norm_forward", SECOND_BARRIER, "//", "race-in-block"),
    ("layer_norm_forward", "bias ? bias[i] : 0.0f", "bias[i]", "null-argument"),
    (
        "layer_norm_forward",
        "if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;\n        __syncthreads();",
        "if (threadIdx.x % 32 == 0) {\n of_warp[threadIdx.x / 32] = v;\n __syncthreads();\n } else __syncthreads();",
        "divergent-barrier",
    ),
    ("layer_norm_backward", *FIRST_BARRIER, "race-in-block"),
    ("gated_rms_norm_forward", "y += row * D", "y += row", "race-in-block"),
    ("gated_rms_norm_backward", BOUND, "", "out-of-bounds"),
    ("gain_partial", "    __syncthreads();\n", "", "race-in-block"),
    ("gain_partial", "gain[k][lane] = dw,", "if (k < 7) gain[k][lane] = dw;\n   ", "uninitialised-shared"),
    ("gain_partial", "if (column < D) {", "{", "out-of-bounds"),
    ("gain_partial", "if (k > 0 || column >= D) return;", "if (column >= D) return;", "race-in-block"),
    (
        "gain_partial",
        "__syncthreads();\n    if (k > 0 || column >= D) return;",
        "if (k > 0 || column >= D) return;\n    __syncthreads();",
        "skipped-barrier",
    ),
    ("gain_partial", "(size_t)blockIdx.y * D + column] = dw", "column] = dw", "race-between-blocks"),
    ("column_sum", "p < P", "p <= P", "out-of-bounds"),
    ("column_sum", "column < D; column", "column <= D; column", "out-of-bounds"),
]

# Lines that several kernels along streams have.
TILES_BOUND = "if (i >= (unsigned)B * tiles * C) return;"
VALUES_BOUND = "if (i >= (unsigned)N * D * K) return;"
TILE_END = "min(first + TILE, T)"

STREAMS = [
    ("convolution_forward", "if (i >= (unsigned)B * tiles * D) return;", "", "out-of-bounds"),
    ("convolution_forward", TILE_END, "first + TILE", "out-of-bounds"),
    ("convolution_forward", "bias == nullptr ? 0.0f : bias[d]", "bias[d]", "null-argument"),
    ("convolution_backward", "t >= 0 && t < T", "t < T", "out-of-bounds"),
    ("convolution_backward", TILE_END, "first + TILE", "out-of-bounds"),
    ("convolution_backward", "sums[w] = 0.0f;", "sums[0] = 0.0f;", "uninitialised-local"),
    ("convolution_backward", "s < -P ? 0.0f : input(", "input(", "out-of-bounds"),
    ("convolution_backward", "if (s < first) continue;", "", "out-of-bounds"),
    ("add_rows", "__syncthreads();\n    if (turn > 0", "if (turn > 0", "race-in-block"),
    ("add_rows", "if (column < D)\n        for", "for", "out-of-bounds"),
    ("rotate", "if (i >= (unsigned)N * H * planes) return;", "", "out-of-bounds"),
    ("rotate", "head / H % A", "head / H", "out-of-bounds"),
    ("scan_tiles", TILES_BOUND, "", "out-of-bounds"),
    ("scan_tiles", "s < shift ? 0.0f : a[", "a[", "out-of-bounds"),
    ("scan_tiles", "float product = 1.0f;", "float product;", "uninitialised-local"),
    ("scan_carries", "if (n < tiles) {", "{", "out-of-bounds"),
    (
        "scan_carries",
        "if (i >= (unsigned)B * C) return;",
        "if (i >= (unsigned)B * C || threadIdx.x % 32 >= tiles) return;",
        "exited-lane",
    ),
    ("scan_apply", "own.n > 0", "true", "out-of-bounds"),
    ("scan_apply", "min(own.first + tile, T)", "own.first + tile", "out-of-bounds"),
    ("scan_gradient", "s + 1 < T", "true", "out-of-bounds"),
    ("scan_gradient", "s + 1 == T && dstart != nullptr", "s + 1 == T", "null-argument"),
    ("rational_forward", "min((tile + 1) * ROWS, N)", "(tile + 1) * ROWS", "out-of-bounds"),
    ("rational_backward", "if (tile >= (N + ROWS - 1) / ROWS) return;", "", "out-of-bounds"),
    ("rational_backward", "da[i] = 0.0f;", "da[0] = 0.0f;", "uninitialised-local"),
    ("rational_backward", "(size_t)tile * (I + J) * D + d", "d", "missing-syncwarp"),
    ("cox_de_boor_forward", VALUES_BOUND, "", "out-of-bounds"),
    ("cox_de_boor_forward", "(K + k + 1) + i % K + j", "(K + k + 1) + i + j", "out-of-bounds"),
    ("cox_de_boor_slope_forward", "j < k + 2", "j < k + 1", "uninitialised-local"),
    ("cubic_spline_forward", VALUES_BOUND, "", "out-of-bounds"),
    ("cubic_spline_forward", "d = number % D", "d = number", "out-of-bounds"),
    ("cubic_spline_slope_forward", VALUES_BOUND, "", "out-of-bounds"),
    ("adamw", "i < end", "i <= end", "race-between-blocks"),
    ("adamw", "first = chunks[3 * blockIdx.x]", "first = chunks[0]", "race-between-blocks"),
    ("sums_of_squares", "i < end", "i <= end", "out-of-bounds"),
    ("sums_of_squares", *FIRST_BARRIER, "race-in-block"),
]

# The recurrences.
INSIDE = "if (t >= tokens || !inside) continue;"

DIAGONAL = [
    ("diagonal_recurrent", "starts[n + 1] - from", "starts[n + 1] - from + 1", "out-of-bounds"),
    ("diagonal_recurrent", "if (start != nullptr) each_own", "each_own", "null-argument"),
    ("diagonal_recurrent_gradient", "if (d >= K) continue;", "", "out-of-bounds"),
    ("diagonal_states", "__syncthreads();\n    }\n    each_entry", "}\n    each_entry", "race-in-block"),
    ("diagonal_states", "tokens, K - d_0);", "CHUNK, K - d_0);", "out-of-bounds"),
    ("diagonal_states", "if (d_0 + d < K && c_0 + c < V) last", "last", "out-of-bounds"),
    (
        "diagonal_outputs",
        "decay_scores(acc, factor);\n    __syncthreads();",
        "decay_scores(acc, factor);",
        "race-in-block",
    ),
    ("diagonal_outputs", "if (t < tokens && c_0 + c < V) o", "if (c_0 + c < V) o", "race-between-blocks"),
    ("diagonal_gradient", INSIDE, "if (!inside) continue;", "race-between-blocks"),
    ("diagonal_gradient", "__syncthreads();\n        add_scores", "add_scores", "race-in-block"),
    ("diagonal_gradient", "__syncthreads();\n            load_slab", "load_slab", "race-in-block"),
    ("diagonal_gate", "after[n] >= 0 ?", "true ?", "out-of-bounds"),
    ("diagonal_gate", "d_0 + lane < K", "true", "out-of-bounds"),
]

ATTENTION = [
    (
        "softmax_attention_forward",
        "channels(shared.b, y, j, c);\n        __syncthreads();",
        "channels(shared.b, y, j, c);",
        "race-in-block",
    ),
    ("softmax_attention_forward", "first + n < of.end && c + d", "c + d", "out-of-bounds"),
    ("softmax_attention_forward", "sink == nullptr ? -INFINITE : sink[", "sink[", "null-argument"),
    ("softmax_attention_backward_queries", "n < TILE; n += 8", "n < 8; n += 8", "uninitialised-shared"),
    ("softmax_attention_backward_queries", "if (dlse != nullptr) sum", "sum", "null-argument"),
    ("softmax_attention_backward_queries", "row + i < own.end ? lse", "true ? lse", "out-of-bounds"),
    (
        "softmax_attention_backward_keys",
        "multiply(c[slab], shared.p + d, shared.b);\n            __syncthreads();",
        "multiply(c[slab], shared.p + d, shared.b);",
        "race-in-block",
    ),
    ("softmax_attention_backward_keys", "own < of.width", "true", "out-of-bounds"),
    ("softmax_attention_backward_keys", "row < own.to ? delta", "true ? delta", "out-of-bounds"),
]

HOUSEHOLDER = [
    ("householder_recurrent_forward", "__syncthreads();  // nobody reads the row before any more", "", "race-in-block"),
    ("householder_recurrent_forward", "const bool there = d < K;", "const bool there = true;", "out-of-bounds"),
    ("householder_recurrent_forward", "if (inside && d < K) final", "if (d < K) final", "race-between-blocks"),
    (
        "householder_recurrent_backward",
        "__syncthreads();\n                const float erase",
        "const float erase",
        "race-in-block",
    ),
    ("householder_recurrent_backward", "const bool inside = d < K;", "const bool inside = true;", "out-of-bounds"),
    ("householder_recurrent_backward", "if (d < width) dv[", "dv[", "out-of-bounds"),
    ("householder_prepare", "[r][j];\n    }\n    __syncthreads();", "[r][j];\n    }", "race-in-block"),
    ("householder_prepare", "r++) {\n        __syncthreads();", "r++) {", "race-in-block"),
    ("householder_prepare", "if (c <= r) matrix[c][r]", "if (c < r) matrix[c][r]", "uninitialised-shared"),
    ("householder_states", "__syncthreads();\n        const float *T", "const float *T", "race-in-block"),
    ("householder_states", "if (r < rows.count && inside) X", "if (inside) X", "out-of-bounds"),
    ("householder_outputs", "!rows.closes(r) || !inside", "!inside", "race-between-blocks"),
    ("householder_outputs", "r < rows.count && inside ? X", "inside ? X", "out-of-bounds"),
    (
        "householder_states_backward",
        "__syncthreads();\n        const float *both",
        "const float *both",
        "race-in-block",
    ),
    ("householder_states_backward", "if (d_initial == nullptr) return;", "", "null-argument"),
    ("householder_gradients", "if (tx == 0 && r < rows.count) dbeta", "if (tx == 0) dbeta", "out-of-bounds"),
    ("householder_gradients", "__syncthreads();\n        load_last(one, q", "load_last(one, q", "missing-syncwarp"),
    ("householder_gradients", "if (c < r) D[r][c]", "if (c + 1 < r) D[r][c]", "uninitialised-shared"),
]

TENSOR_CORES = [
    (
        "diagonal_states_bf16",
        "add_product<true, false>(S[m], x_tile, y_tile);\n            __syncthreads();",
        "add_product<true, false>(S[m], x_tile, y_tile);",
        "race-in-block",
    ),
    ("diagonal_states_bf16", "r < rows && d < columns) y[", "r < rows) y[", "race-between-blocks"),
    (
        "diagonal_outputs_bf16",
        "chunk.tokens, columns);\n    __syncthreads();",
        "chunk.tokens, columns);",
        "race-in-block",
    ),
    ("diagonal_outputs_bf16", "if (r >= rows || d >= columns) return 0.0f;", "", "out-of-bounds"),
    ("diagonal_gradients_bf16", "along[threadIdx.x] = to_end", "to_end", "uninitialised-shared"),
    ("diagonal_gradients_bf16", "if (dg == nullptr) return;", "", "null-argument"),
    (
        "householder_prepare_bf16",
        "tx = threadIdx.x % 16;\n    __syncthreads();",
        "tx = threadIdx.x % 16;",
        "race-in-block",
    ),
    ("householder_prepare_bf16", "if (j <= r) matrix[j][r]", "if (j < r) matrix[j][r]", "uninitialised-shared"),
    (
        "householder_states_bf16",
        "CHUNK * CHUNK);\n        __syncthreads();\n        add_product",
        "CHUNK * CHUNK);\n        add_product",
        "race-in-block",
    ),
    ("householder_states_bf16", "if (r < rows.count && d < V) X", "if (d < V) X", "out-of-bounds"),
    ("householder_outputs_bf16", "if (rows.closes(r) && d < V) o", "if (d < V) o", "race-between-blocks"),
    ("householder_dstates_bf16", "if (d_initial == nullptr) return;", "", "null-argument"),
    ("householder_dstates_bf16", "store_tile(b, x);\n        __syncthreads();", "store_tile(b, x);", "race-in-block"),
    (
        "householder_gradients_bf16",
        "if (r >= rows.count || d >= K) continue;",
        "if (d >= K) continue;",
        "out-of-bounds",
    ),
    ("householder_gradients_bf16", "if (threadIdx.x % 4 == 0) sums", "sums", "missing-syncwarp"),
    (
        "diagonal_gradients_bf16",
        "write_product(dq + d0, to_k, chunk.tokens, K - d0, c, scale)",
        "write_product(dq + d0, to_k, chunk.tokens, K - d0, c)",
        "wrong-numbers",
    ),
    ("householder_states_bf16", "scale_all(S[m], prefix[CHUNK - 1]);", "", "wrong-numbers"),
    ("householder_gradients_bf16", "keep_lower<false>(e, factor)", "keep_lower<true>(e, factor)", "wrong-numbers"),
]

# Nothing that a checker of memory could see: the numbers are wrong.
WRONG_NUMBERS = [
    ("softmax_forward", "* inverse", "", "wrong-numbers"),
    ("log_softmax_backward", "expf(y[i]) * total", "expf(y[i])", "wrong-numbers"),
    ("cross_entropy_backward", "inverse - one_hot", "inverse + one_hot", "wrong-numbers"),
    ("silu_glu_backward", "1.0f + x * (1.0f - s)", "1.0f - x * (1.0f - s)", "wrong-numbers"),
    ("rms_norm_backward", "- along *", "+ along *", "wrong-numbers"),
    ("layer_norm_forward", "(x[i] - m - left)", "(x[i] - m)", "wrong-numbers"),
    ("gain_partial", "(v * r[row])", "v", "wrong-numbers"),
    ("column_sum", "p = 0", "p = 1", "wrong-numbers"),
    ("convolution_backward", "dz[P - w]", "dz[w]", "wrong-numbers"),
    ("add_rows", "k = 1; k < TURNS", "k = 1; k + 1 < TURNS", "wrong-numbers"),
    ("rotate", "x1 * s + x2 * c", "x1 * s - x2 * c", "wrong-numbers"),
    ("scan_carries", "a *= a_1;", "", "wrong-numbers"),
    ("scan_gradient", "lam * before", "lam", "wrong-numbers"),
    ("rational_backward", "dQ * sign", "dQ", "wrong-numbers"),
    ("cubic_spline_forward", "4.0f * near", "3.0f * near", "wrong-numbers"),
    ("diagonal_recurrent", "scale_read * read", "read", "wrong-numbers"),
    ("diagonal_states", "S[i][j] *= kept[d];", "", "wrong-numbers"),
    ("diagonal_outputs", "scale * acc[i][j]", "acc[i][j]", "wrong-numbers"),
    ("softmax_attention_forward", "m[i] + logf(Z[i])", "m[i]", "wrong-numbers"),
    ("householder_recurrent_forward", "scale * over_parts(out)", "over_parts(out)", "wrong-numbers"),
    ("householder_outputs", "V + column] = out[i];", "V + column] = 2 * out[i];", "wrong-numbers"),
    ("householder_gradients", "scale * of_q[i]", "of_q[i]", "wrong-numbers"),
    ("adamw", "rest2 * (g_i * g_i)", "rest2 * g_i", "wrong-numbers"),
    ("sums_of_squares", "i += THREADS", "i += 2 * THREADS", "wrong-numbers"),
]

# Mistakes that a chunk of few tokens does not see: the last halving of 64, and late rows of the inverse.
LONG_CHUNKS = [
    ("diagonal_outputs", "expf(right ? before[i]", "expf(right ? (level < 5 ? before[i] : 0.0f)", "wrong-numbers"),
    ("householder_prepare", "r < rows - 1; r++", "r < rows - 1 && r < 40; r++", "wrong-numbers"),
]

FAULTS = tuple(
    Fault(*each)
    for each in ROWS + STREAMS + DIAGONAL + ATTENTION + HOUSEHOLDER + TENSOR_CORES + WRONG_NUMBERS + LONG_CHUNKS
)
