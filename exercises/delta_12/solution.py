import numpy as np


def follow(word, swaps, n):
    """Where everything is after each letter, by a state that is only reflected."""
    S = places = np.eye(n)  # (n, n)
    rows = []
    for letter in word:
        for i, j in swaps[letter]:
            k = (places[i] - places[j]) / np.sqrt(2)  # (n,), zero if i = j
            S = S - 2 * np.outer(k, k @ S)
        rows.append(S.argmax(0))  # (n,)
    return np.stack(rows)  # (T, n)
