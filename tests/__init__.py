"""The tests, in the shape of the library: tests/autograd/ is about minilinear/autograd/."""
