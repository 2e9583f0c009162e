import numpy as np


def follow(word, swaps, n):
    rows = []
    for letter in word:
        S = places = np.eye(n)
        for i, j in swaps[letter]:
            k = (places[i] - places[j]) / np.sqrt(2)
            S = S - 2 * np.outer(k, k @ S)
        rows.append(S.argmax(0))
    return np.stack(rows)
