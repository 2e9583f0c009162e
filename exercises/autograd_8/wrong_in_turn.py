def loss(w, b, x, y):
    total = Value(0.0)
    for x_i, y_i in zip(x, y):
        error = add(add(mul(w, Value(x_i)), b), Value(-y_i))
        total = add(total, mul(error, error))
    return mul(total, Value(1 / len(x)))


def fit(x, y, steps, rate):
    w, b = Value(0.0), Value(0.0)
    for _ in range(steps):
        w = Value(w.data - rate * backward(loss(w, b, x, y))[w])
        b = Value(b.data - rate * backward(loss(w, b, x, y))[b])
    return w.data, b.data
