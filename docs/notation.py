"""The page on notation: the axes, the letters and their colours in the figures. `docs/generate.py` calls it."""

from __future__ import annotations

from minilinear.figures.picture import LETTERS

AXES = {  # letter: (what it counts, as a size of layers and runs)
    "B": "sequences in a batch",
    "T": "tokens of a sequence: time",
    "H": "heads",
    "K": "numbers in a key (and a query) of one head",
    "V": "numbers in a value of one head",
    "C": "tokens in a chunk, a power of two; C R corrections in it",
    "N": "chunks; in the kernels on rows: rows",
    "R": "corrections of the state for each token (Householder steps)",
    "D": "numbers for each token between the layers: the model's dim",
    "E": "numbers inside a feed-forward layer: its hidden dim",
    "G": "key and value heads, each shared by H / G query heads; groups of a norm or a KAN",
    "W": "tokens that a window sees; taps of a short convolution",
    "S": "keys and values that the T queries of softmax attention may see",
    "F": "features that a feature map makes of K numbers; numbers in a row of a task's input",
}
MEANINGS = {  # letter with a colour: (shape, what it is)
    "q": ("(B, T, H, K)", "query: what a token asks the memory for"),
    "k": ("(B, T, H, K)", "key: where it writes; of unit length in the delta rule"),
    "v": ("(B, T, H, V)", "value: what it writes there"),
    "S": ("(B, H, K, V)", "state: the memory from keys to values, S_t after token t and S_0 before the first"),
    "o": ("(B, T, H, V)", "output: what the query reads"),
    "beta": ("(B, T, H)", "write strength, in [0, 2]"),
    "g": ("(B, T, H) or (B, T, H, K)", "log decay, never positive"),
    "A": ("(B, T, H, K, K)", "transition: the matrix that a token multiplies the state by, from the left"),
    "B": ("(B, T, H, K, V)", "what a token adds to the state"),
}
OTHERS = {  # letters without a colour of their own
    "p": "erase key (B, T, H, K): where a token reads before it writes; k unless it is given",
    "α = exp g": "decay, in (0, 1]; γ where it is fixed for each head",
    "φ": "feature map, of queries and keys",
    "z": "sum of φ(k), by which linear attention divides; in gated units the gate",
    "x, y": "input and output of a layer (B, T, D)",
    "W": "weights (in, out): y = x W",
    "Δ": "step size of Mamba-2: α = exp(Δ a), a < 0, and k is written Δ strong",
    "scale": "factor of the queries, 1 / √K unless it is given",
    "η, λ": "learning rate, weight decay",
    "m, v": "first and second moment of Adam, P numbers each for P parameters",
    "ε": "a small number that keeps a denominator from zero",
}


def notation() -> str:
    """The page."""
    axes = "".join(f"| {letter} | {meaning} |\n" for letter, meaning in AXES.items())
    letters = "".join(
        f"| {swatch(letter)} `{letter}` | {MEANINGS[letter][0]} | {MEANINGS[letter][1]} | `{light}` | `{dark}` |\n"
        for letter, (light, dark) in LETTERS.items()
    )
    others = "".join(f"| {letter} | {meaning} |\n" for letter, meaning in OTHERS.items())
    return PAGE.replace("AXES\n", axes).replace("LETTERS\n", letters).replace("OTHERS\n", others)


def swatch(letter: str) -> str:
    """A square in a letter's colour, the very variable that the figures use."""
    return f'<span style="color: var(--ml-{letter}, {LETTERS[letter][0]})">■</span>'


PAGE = """<!-- made by docs/generate.py from docs/notation.py and docs/figures/picture.py; edit those -->
# Notation

The same letters stand in the code, on the pages and in the figures.

## Axes

A capital letter is the length of an axis, and stands for that axis. Shapes are written as NumPy has them, `(B, T, D)`,
and `S (K x V)` says how many rows and columns a matrix has.

| letter | how many |
|---|---|
AXES

## Letters

A letter has one colour in every figure, a darker one on a light page and a lighter one on a dark page. No figure says
anything by colour alone: there is a dash, a marker or a printed sign beside it.

| letter | shape | what it is | light | dark |
|---|---|---|---|---|
LETTERS

Without a colour of their own:

| letter | what it is |
|---|---|
OTHERS

## Conventions

* **Vectors are columns** in equations: $k_t v_t^\\top$ is a matrix (K x V), $S^\\top q$ a vector. **In arrays they are
  rows**, the last axis, so that a layer is `y = x @ W` with W (in, out), and $S^\\top q$ for a whole batch is
  `q[..., None, :] @ S`.
* **The state is S (K x V)**: a row for each number of the key, a column for each number of the value. Some papers and
  libraries store its transpose, and then read S q and multiply by transitions from the right.
* **One equation**: $S_t = A_t S_{t-1} + B_t$, and $o_t$ is `scale` times $S_t^\\top q_t$. A token reads **after** it
  has written: $o_t$ sees token t. Transitions act from the left, so the later one stands on the left:
  $A_t \\cdots A_2 A_1$.
* **The order inside a token**: decay, then R times erase and write, then read.
* **Decay is a logarithm**: g ≤ 0 and α = exp g, so a product of decays is a sum of g. With a number for each key
  channel it scales the rows of S. g = 0 keeps everything; g = -1e4 is a reset, and exp makes it zero.
* **The write strength** β lies in [0, 2], for keys of unit length: 0 leaves the memory as it is, 1 replaces what is
  stored at k, 2 reflects, since $I - \\beta k k^\\top$ has the eigenvalue 1 - β along k. Above 1 it is negative.
* **The scale** multiplies the queries once, before everything else, and is 1 / √K unless it is given.
* **Signs**: gradients are of a loss that is to become small, and x ← x - η dx. The delta rule's error is
  $v - S^\\top k$, and what is written has its sign.
* **Packed sequences** have B = 1; `cu_seqlens` has the place where each begins, and T at its end. Their states are
  (sequences, H, K, V).
* **Names in code** are words: `beta`, `scale`, `final_state`, `initial_state`, `chunk`; and `g` for the log decay.

In code:

```python
import numpy as np
from minilinear.recurrence import affine_scan, delta_rule, gated_linear_attention

rng = np.random.default_rng(0)
B, T, H, K, V = 2, 6, 3, 4, 5
q, k = rng.standard_normal((2, B, T, H, K))
v = rng.standard_normal((B, T, H, V))
k /= np.linalg.norm(k, axis=-1, keepdims=True)
beta = rng.uniform(0, 2, (B, T, H))
g = -rng.exponential(size=(B, T, H, K))  # one number for each key channel

column, row = k[..., :, None], k[..., None, :]  # k_t and its transpose
A = np.eye(K) - beta[..., None, None] * column * row  # erase ...
A = A * np.exp(g)[..., None, :]  # ... after the decay: it stands on the right
written = beta[..., None, None] * column * v[..., None, :]  # the B_t of the equation
S = affine_scan(A, written)  # (B, T, H, K, V): every S_t
o, final_state = delta_rule(q, k, v, beta=beta, g=g)
assert np.allclose(o, K**-0.5 * (q[..., None, :] @ S)[..., 0, :])  # S_t, not S_{t-1}
assert np.allclose(final_state, S[:, -1]) and final_state.shape == (B, H, K, V)

one, none = np.ones((1, 1, 1)), np.zeros((1, 1, 1, V))
first, end = k[:1, :1, :1], rng.standard_normal((1, 1, K, V))
at_key = lambda state: first[0, 0, 0] @ state[0, 0]  # what is stored at the key
after = lambda b: delta_rule(first, first, none, beta=b * one, initial_state=end)[1]
assert np.allclose(at_key(after(0)), at_key(end))  # beta = 0: as it was
assert np.allclose(at_key(after(1)), 0)  # 1: replaced, here by zeros
assert np.allclose(at_key(after(2)), -at_key(end))  # 2: reflected

reset = np.full((B, T, H), 0.0)
reset[:, 3] = -1e4  # the fourth token forgets all that was before it
_, after_reset = gated_linear_attention(q, k, v, g=reset)
_, without = gated_linear_attention(q[:, 3:], k[:, 3:], v[:, 3:])
assert np.allclose(after_reset, without)
```

## Letters with two meanings

The field uses some letters twice, and so does this book. What is meant is clear from where it stands:

* **B** is the batch as an axis and, with an index, B_t what a token adds.
* **g** is the log decay in everything that has a state; in the engine's [rules](rules.md) it is the gradient that comes
  back to an operation, and in [optimizers](optimizers.md) the gradient of a parameter.
* **β** is the write strength; in [norms](norms.md) the shift that is learnt, and in Adam the two numbers `betas`.
* **γ** is a fixed decay; in norms the gain that is learnt.
* **K, V** are lengths; **k, v** the vectors that have them. **v** is Adam's second moment, too.
* **S** is the state; on the page on [softmax attention](softmax-attention.md) S tokens are those that T queries see.
* **N** counts chunks; on the pages on kernels the rows of a matrix.
* **F** counts features; on the page on the [roofline](learn/15-chunk-kernels.md) flops, and M the bytes they need.
* **W** counts taps or the tokens of a window; W are weights, and one factor of the [WY form](learn/11-householder.md).

## Abbreviations

| short | long |
|---|---|
| BPTT | back-propagation through time |
| FFN | feed-forward network: the layer for each token by itself |
| GLA, SGLU, SwiGLU | gated linear attention; units gated by nothing, by silu |
| GQA | grouped-query attention: several query heads share a key and value head |
| HVP | Hessian-vector product |
| JVP, VJP | Jacobian-vector and vector-Jacobian product: forward and backward derivative |
| KAN, GR-KAN | Kolmogorov-Arnold network; with rational functions shared by groups |
| KDA | Kimi delta attention: the delta rule with a decay for each channel |
| LSE | log-sum-exp: log Σ exp |
| MQAR | multi-query associative recall |
| NVRTC, PTX | NVIDIA's compiler at run time; the assembly that it writes |
| RMS | root of the mean of squares |
| RoPE | rotary position embedding: queries and keys turned by an angle that grows with the position |
| S3, S5, A5 | groups: all permutations of 3 or of 5 things; the even ones of 5 |
| Z2, D4 | groups: counting modulo 2; the symmetries of a square |
| UT | the transform that writes the corrections of a chunk as one triangular system |
| WY | the form I - Kᵀ W of a product of Householder matrices |
"""
