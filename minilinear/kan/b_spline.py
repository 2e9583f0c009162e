"""B-splines: piecewise polynomials of degree k, each of which is not 0 on k + 1 cells of a grid only.

On knots t_0 <= t_1 <= ..., by the recursion of Cox and de Boor, from cells to wider and smoother bumps:

    B_{i,0}(x) = 1 where t_i <= x < t_{i+1}, else 0
    B_{i,p}(x) = (x - t_i) / (t_{i+p} - t_i) B_{i,p-1}(x) + (t_{i+p+1} - x) / (t_{i+p+1} - t_{i+1}) B_{i+1,p-1}(x)
    B'_{i,k}(x) = k (B_{i,k-1}(x) / (t_{i+k} - t_i) - B_{i+1,k-1}(x) / (t_{i+k+1} - t_{i+1}))

G cells cover [a, b], and k more knots on either side make G + k functions, which sum to 1 on [a, b]. Further out the
sum falls to 0: an input there gets nothing from the splines and gives them no gradient. Every channel has a grid of its
own, which can be moved to where its inputs are (`update_grid`) or made finer (`extend_grid`).

On a uniform grid all bumps are one bump, moved. For k = 3, at v cells from its middle,

    M(v) = (relu(2 - |v|)^3 - 4 relu(1 - |v|)^3) / 6        M'(v) = sign(v) (2 relu(1 - |v|)^2 - relu(2 - |v|)^2 / 2)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, unwrap
from ..backend import beside, mirrored, to_numpy
from ..errors import ConfigError, ShapeError, WrongValue, explain
from ..nn import Buffer, Parameter
from ..nn.activations import relu
from .layer import Basis, KANLayer


class BSpline(Basis):
    """The G + k B-splines of degree k, on a grid for each channel.

    Args:
        D_in: channels.
        G: cells of [low, high].
        degree: k.
        low, high: the interval that the grid covers.

    Attributes:
        grid: a Buffer of knots in float64, (D_in, G + 2 k + 1).

    Raises:
        ConfigError: no cells, a negative degree, an empty interval.

    Cost:
        About 8 k K operations for each number of x; on a uniform grid and for k = 3, about 10 K.

    Source:
        de Boor 1978, A Practical Guide to Splines, chapters IX and X.
    """

    def __init__(self, D_in: int, G: int = 5, degree: int = 3, *, low: float = -1.0, high: float = 1.0):
        if G < 1 or degree < 0 or not low < high:
            rule = "A grid has 1 cell or more between low < high, and a degree of 0 or more."
            raise ConfigError(explain(rule, got=f"G={G}, degree={degree}, low={low}, high={high}"))
        self.degree = degree
        self.grid = Buffer(extended(np.tile(np.linspace(low, high, G + 1), (D_in, 1)), degree))
        self._looked_at: tuple[Any, bool] = (None, False)

    @property
    def K(self) -> int:
        return self.grid.data.shape[1] - self.degree - 1

    @property
    def uniform(self) -> bool:
        """Whether the cells of each row are equal. A grid is looked at once: a GPU has to be waited for."""
        t = self.grid.data
        if self._looked_at[0] is not t:
            self._looked_at = t, is_uniform(t)
        return self._looked_at[1]

    @property
    def inner(self) -> np.ndarray:
        """The knots between a and b, (D_in, G + 1)."""
        return self.grid.data[:, self.degree : self.grid.data.shape[1] - self.degree]

    def greville(self) -> np.ndarray:
        """(t_{i+1} + ... + t_{i+k}) / k, (D_in, K): with these coefficients the spline is the function x on [a, b]."""
        k, t = self.degree, self.grid.data
        return np.mean(np.stack([t[:, 1 + j : 1 + j + self.K] for j in range(k)]), axis=0)

    def __call__(self, x: Array) -> Array:
        t, k = self.grid.data, self.degree
        if k == 3 and self.uniform:
            return cubic_spline(x, *low_and_cells(t, x.dtype), K=self.K)
        return cox_de_boor(x, t.astype(x.dtype), degree=k)

    def derivative(self, x: Array) -> Array:
        t, k = self.grid.data, self.degree
        if k == 3 and self.uniform:
            return cubic_spline_slope(x, *low_and_cells(t, x.dtype), K=self.K)
        return cox_de_boor_slope(x, t.astype(x.dtype), degree=k)


def extended(inner: np.ndarray, degree: int) -> np.ndarray:
    """Knots (D_in, G + 1), with `degree` more on either side at the mean distance."""
    h = (inner[:, -1:] - inner[:, :1]) / (inner.shape[1] - 1)
    steps = np.arange(1, degree + 1)
    return np.concatenate([inner[:, :1] - h * steps[::-1], inner, inner[:, -1:] + h * steps], 1)


def cell(t: np.ndarray) -> np.ndarray:
    """The mean size of the cells of each row, (D_in)."""
    return (t[:, -1] - t[:, 0]) / (t.shape[1] - 1)


def is_uniform(t: np.ndarray) -> bool:
    """Whether each row has knots at equal distances."""
    h = cell(t)[:, None]
    return bool((abs(np.diff(t, axis=1) - h) <= 1e-6 * h).all())


def inverse(x: np.ndarray) -> np.ndarray:
    """1 / x, and 0 at 0: where knots coincide, what lies between them counts as nothing."""
    return np.where(x > 0, 1 / np.where(x > 0, x, 1), 0)


@mirrored("cox_de_boor")
def cox_de_boor(x: Array, t: np.ndarray, *, degree: int) -> Array:
    """The recursion above: x (N, D_in), knots (D_in, K + degree + 1) -> (N, D_in, K)."""
    x = x[..., None]
    B = ((x >= t[:, :-1]) & (x < t[:, 1:])).astype(x.dtype)
    for p in range(1, degree + 1):
        rising = (x - t[:, : -p - 1]) * inverse(t[:, p:-1] - t[:, : -p - 1])
        falling = (t[:, p + 1 :] - x) * inverse(t[:, p + 1 :] - t[:, 1:-p])
        B = rising * B[..., :-1] + falling * B[..., 1:]
    return B


@mirrored("cox_de_boor_slope")
def cox_de_boor_slope(x: Array, t: np.ndarray, *, degree: int) -> Array:
    """B' of the same: (N, D_in, K)."""
    if degree == 0:
        return np.zeros_like(x, shape=(*x.shape, t.shape[1] - 1))
    steep = cox_de_boor(x, t, degree=degree - 1) * (degree * inverse(t[:, degree:] - t[:, : t.shape[1] - degree]))
    return steep[..., :-1] - steep[..., 1:]


@mirrored("cubic_spline")
def cubic_spline(x: Array, low: np.ndarray, cells: np.ndarray, *, K: int) -> Array:
    """M on a uniform grid: x (N, D_in), the first knots and how many cells 1 holds (D_in) -> (N, D_in, K)."""
    v = abs(cells_from_the_middle(x, low, cells, K))
    near, far = relu(1 - v), relu(2 - v)
    return (far * far * far - 4 * near * near * near) * (1 / 6)


@mirrored("cubic_spline_slope")
def cubic_spline_slope(x: Array, low: np.ndarray, cells: np.ndarray, *, K: int) -> Array:
    """M' of the same: (N, D_in, K)."""
    v = cells_from_the_middle(x, low, cells, K)
    near, far = relu(1 - abs(v)), relu(2 - abs(v))
    return np.sign(v) * (2 * near * near - 0.5 * far * far) * cells[:, None]


def cells_from_the_middle(x: Array, low: np.ndarray, cells: np.ndarray, K: int) -> Array:
    """v of each bump of a uniform cubic grid: (N, D_in, K)."""
    return ((x - low) * cells)[..., None] - np.arange(2, 2 + K, dtype=x.dtype, like=unwrap(x))


def low_and_cells(t: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The first knot of each row of a uniform grid, and 1 / h."""
    return t[:, 0].astype(dtype), inverse(cell(t)).astype(dtype)


class BSplineLayer(KANLayer):
    """y = B(x) C + silu(x) W, with B-splines.

    Args:
        D_in, D_out: numbers in and out.
        G: cells of the grid.
        degree: of the polynomials.
        low, high: the interval that the grid covers at first.
        noise: size of the initial splines; the base starts of size 1, so that training starts from it.
        rng: where the initial weights are drawn from.

    Cost:
        See `KANLayer`, with K = G + degree.

    Source:
        Liu et al. 2024, arXiv 2404.19756, section 2.2; defaults of the public efficient-kan, whose scale for each edge
        is part of C here.
    """

    basis: BSpline

    def __init__(
        self,
        D_in: int,
        D_out: int,
        *,
        G: int = 5,
        degree: int = 3,
        low: float = -1.0,
        high: float = 1.0,
        noise: float = 0.1,
        rng: np.random.Generator,
    ):
        basis = BSpline(D_in, G, degree, low=low, high=high)
        super().__init__(D_in, D_out, basis, std=noise * (3 * D_in) ** -0.5, rng=rng)

    def refit(self, grid: np.ndarray, x: np.ndarray) -> None:
        """Take another grid, and the coefficients that change the splines least at x (N, D_in), in least squares. This
        is computed in NumPy's memory, and brought to where the layer is.
        """
        C = to_numpy(self.coefficients.weight.data).reshape(self.D_in, self.basis.K, self.D_out)
        home, self.basis.grid.data = self.basis.grid.data, to_numpy(self.basis.grid.data)
        values = np.einsum("nik,iko->ino", self.basis(x), C.astype(np.float64), optimize=True)
        self.basis.grid.data = grid
        B = np.moveaxis(self.basis(x), 1, 0)
        fitted = np.concatenate([np.linalg.lstsq(B_i, y_i)[0] for B_i, y_i in zip(B, values)])
        fitted, self.basis.grid.data = beside(fitted.astype(C.dtype), home), beside(grid, home)
        if fitted.shape == self.coefficients.weight.shape:
            self.coefficients.weight.assign_(fitted)
        else:  # another grid size is another Parameter
            old = self.coefficients.weight
            self.coefficients.weight = Parameter(fitted, decay=old.decay, role=old.role, parts=old.parts)

    def update_grid(self, x: np.ndarray, *, uniform: float = 0.02, margin: float = 0.01) -> None:
        """Move the knots to where the inputs are: as many inputs in each cell, but for a small part of equal cells.

        Args:
            x: inputs, (N, D_in), at least G + degree of them.
            uniform: the part of a grid of equal cells in the mixture.
            margin: how far that grid reaches beyond the inputs.

        Raises:
            ShapeError: too few inputs, or not D_in numbers in each. ValueError: nan or inf among them.

        Cost:
            Sorting, and a least-squares problem N x K for each channel.

        Source:
            Liu et al. 2024, arXiv 2404.19756, section 2.2; mixture and margin of the public efficient-kan.
        """
        x = to_numpy(unwrap(x)).astype(np.float64)
        G = self.basis.inner.shape[1] - 1
        if x.ndim != 2 or x.shape[1] != self.D_in or len(x) < self.basis.K:
            rule = f"A grid follows at least {self.basis.K} inputs of {self.D_in} numbers."
            raise ShapeError(explain(rule, got=x.shape, fix="x.reshape(-1, D_in), of a larger batch"))
        if not np.isfinite(x).all():
            raise WrongValue(explain("A grid follows finite inputs.", got="nan or inf among them"))
        low, high = x.min(0) - margin, x.max(0) + margin
        quantiles = np.sort(x, axis=0)[np.linspace(0, len(x) - 1, G + 1).astype(int)]
        inner = uniform * np.linspace(low, high, G + 1) + (1 - uniform) * quantiles
        self.refit(extended(inner.T, self.basis.degree), x)

    def extend_grid(self, G: int) -> None:
        """Cut the grid into G cells. The function on [a, b] stays exactly the same where every old knot is kept (5 to
        10 cells), and nearly otherwise (5 to 8). The coefficients are another Parameter then: make the optimizer anew.

        Raises:
            ConfigError: no cells.

        Cost:
            A least-squares problem 8 G x (G + degree) for each channel.

        Source:
            Liu et al. 2024, arXiv 2404.19756, section 2.4.
        """
        if G < 1:
            raise ConfigError(explain("A grid has 1 cell or more.", got=f"G={G}"))
        old = to_numpy(self.basis.inner)

        def along(points):
            """Points of [0, 1], carried to each channel's [a, b] by its knots."""
            return np.stack([np.interp(points, np.linspace(0, 1, old.shape[1]), t) for t in old])

        self.refit(extended(along(np.linspace(0, 1, G + 1)), self.basis.degree), along(np.linspace(0, 1, 8 * G + 1)).T)
