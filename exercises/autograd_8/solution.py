def fit(x, y, steps, rate):
    """w and b after `steps` steps of gradient descent on the mean of (w x + b - y)²."""
    w, b = Value(0.0), Value(0.0)
    for _ in range(steps):
        loss = Value(0.0)
        for x_i, y_i in zip(x, y):
            error = add(add(mul(w, Value(x_i)), b), Value(-y_i))
            loss = add(loss, mul(error, error))
        grads = backward(mul(loss, Value(1 / len(x))))
        w, b = Value(w.data - rate * grads[w]), Value(b.data - rate * grads[b])
    return w.data, b.data
