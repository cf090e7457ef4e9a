"""The surrogate shapes that the engine has kernels for, and the number of each."""

FAST_SIGMOID, TRIANGLE, ATAN, STRAIGHT_THROUGH, SIGMOID, GAUSSIAN, RECTANGLE = range(7)
KERNELS = {
    "fast-sigmoid": FAST_SIGMOID,
    "triangle": TRIANGLE,
    "atan": ATAN,
    "straight-through": STRAIGHT_THROUGH,
    "sigmoid": SIGMOID,
    "gaussian": GAUSSIAN,
    "rectangle": RECTANGLE,
}
