def fit(x, y, steps, rate):
    w, b, loss = Value(0.0), Value(0.0), Value(0.0)
    for x_i, y_i in zip(x, y):
        error = add(add(mul(w, Value(x_i)), b), Value(-y_i))
        loss = add(loss, mul(error, error))
    loss = mul(loss, Value(1 / len(x)))
    for _ in range(steps):
        grads = backward(loss)
        w.data, b.data = w.data - rate * grads[w], b.data - rate * grads[b]
    return w.data, b.data
