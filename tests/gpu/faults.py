"""Mistakes to plant into the kernels, each of which check mode must find: that is the test of the checker.

Every registered kernel has one or more: (kernel, old text, new text, kind of finding). The old text is looked for in
the kernel itself first, then in its file, then in the headers.
"""

# Lines that several kernels on rows have.
BOUND = "if (row >= N) return;"
FIRST_BARRIER = ("of_warp[threadIdx.x / 32] = v;\n        __syncthreads();", "of_warp[threadIdx.x / 32] = v;")
SECOND_BARRIER = "__syncthreads();                                         // the next call"
TAIL = ("i < n; i += threads)", "i <= n; i += threads)")
ALIGNED = "aligned16(a) && aligned16(b) && aligned16(y) ? n / 4 : 0"

ROWS: list[tuple[str, str, str, str]] = [
    ("softmax_forward", BOUND, "", "out-of-bounds"),
    ("softmax_forward", "i < D", "i <= D", "out-of-bounds"),
    ("softmax_forward", *FIRST_BARRIER, "uninitialised-shared"),  # that of block_max
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
    ("layer_norm_backward", *FIRST_BARRIER, "uninitialised-shared"),
    ("gated_rms_norm_forward", "y += row * D", "y += row", "race-in-block"),
    ("gated_rms_norm_backward", BOUND, "", "out-of-bounds"),
    ("gain_partial", "    __syncthreads();\n", "", "uninitialised-shared"),
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

STREAMS: list[tuple[str, str, str, str]] = []

FAULTS = ROWS + STREAMS
