def gradcheck(f, x, direction):
    """The relative error of backward along one direction, against a central difference."""
    values = [Value(number) for number in x]
    grads = backward(f(values))
    slope = sum(grads.get(v, 0.0) * d for v, d in zip(values, direction))
    up = f([Value(number + 1e-5 * d) for number, d in zip(x, direction)])
    down = f([Value(number - 1e-5 * d) for number, d in zip(x, direction)])
    difference = (up.data - down.data) / 2e-5
    return abs(slope - difference) / max(1.0, abs(slope), abs(difference))
