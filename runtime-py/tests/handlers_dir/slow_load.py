"""A handler that takes long to load."""

import time

print("loading")
time.sleep(60)


def f(value):
    return value
