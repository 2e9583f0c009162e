def remember(a, keys, values):
    """The last state of S_t = a S_{t-1} + k_t v_t, from S_0 = 0."""
    S = Value(0.0)
    for k, v in zip(keys, values):
        S = add(mul(a, S), mul(k, v))
    return S
