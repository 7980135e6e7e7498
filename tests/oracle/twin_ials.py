"""ials in float64 NumPy, from the formulas of Hu, Koren and Volinsky 2008 and Rendle et al. 2021.

    minimise  sum_seen c_ui (x_u . y_i - 1)^2 + a0 sum_all (x_u . y_i)^2
              + reg ( sum_u (d_u + a0 I) |x_u|^2 + sum_i (d_i + a0 U) |y_i|^2 ),     c_ui = 1 + confidence * scaled weight

Only the random numbers follow the extension's own generator, so that both start from the same factors."""
import math

import numpy as np

MASK = 2**64 - 1


def _splitmix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    z = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return x, z ^ z >> 31


def _uniforms(seed, stream, count):
    """xoshiro256++, seeded by splitmix64."""
    def rotate(x, k):
        return (x << k | x >> 64 - k) & MASK
    _, x = _splitmix64(seed)
    x ^= (stream * 0xD1342543DE82EF95 + 1) & MASK
    s = []
    for _ in range(4):
        x, word = _splitmix64(x)
        s.append(word)
    a, b, c, d = s
    out = []
    for _ in range(count):
        out.append(((rotate((a + d) & MASK, 23) + a & MASK) >> 11) * 2.0**-53)
        t = b << 17 & MASK
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= t
        d = rotate(d, 45)
    return out


def start(n, factors, seed):
    """float32 of N(0, (0.1 / sqrt factors)^2) by Box and Muller; row r draws from stream r."""
    out = np.empty((n, factors), np.float32)
    for row in range(n):
        u = _uniforms(seed, row, 2 * factors)
        for f in range(factors):
            out[row, f] = 0.1 / math.sqrt(factors) * math.sqrt(-2 * math.log(1 - u[2 * f])) * math.cos(2 * math.pi * u[2 * f + 1])
    return out.astype(float)


class Twin:
    def __init__(self, scaled, start_factors, confidence, a0, reg):
        """scaled: users x items, the scaled weight of each seen pair (CSR)."""
        self.c = scaled.tocsr(copy=True)
        self.c.data = 1 + confidence * self.c.data
        self.y = start_factors.copy()
        self.x = np.zeros((scaled.shape[0], self.y.shape[1]))
        self.a0, self.reg = a0, reg

    def system(self, items, c, other):
        """A and b of one row: its columns, what they weigh, and the columns' factors."""
        f = other[items]
        ridge = self.reg * (len(items) + self.a0 * len(other))
        a = self.a0 * other.T @ other + (f.T * c) @ f + ridge * np.eye(other.shape[1])
        return a, c @ f

    def _solve(self, rows, other):
        return np.array([np.linalg.solve(*self.system(rows.indices[p:q], rows.data[p:q], other))
                         for p, q in zip(rows.indptr, rows.indptr[1:])])

    def solve_users(self):
        self.x = self._solve(self.c, self.y)

    def solve_items(self):
        self.y = self._solve(self.c.T.tocsr(), self.x)

    def objective(self):
        seen = self.c.tocoo()
        products = self.x @ self.y.T
        users, items = products.shape
        ridge = (np.diff(self.c.indptr) + self.a0 * items) @ (self.x**2).sum(1)
        ridge += (np.bincount(seen.col, minlength=items) + self.a0 * users) @ (self.y**2).sum(1)
        return seen.data @ (products[seen.row, seen.col] - 1) ** 2 + self.a0 * (products**2).sum() + self.reg * ridge

    def fold_in(self, items, c):
        """The factors of whoever has these items."""
        return np.linalg.solve(*self.system(items, c, self.y))

    def contributions(self, items, c, item):
        """What each of the items adds to the score: c_j y_i' A^-1 y_j. They sum to the score."""
        a, _ = self.system(items, c, self.y)
        return c * (self.y[items] @ np.linalg.solve(a, self.y[item]))
