"""What runs inside a grading container: the standard library and IPython, nothing of ours else.

`runner.py` is the container's entry point; the worker outside speaks to it in `frames`.
"""
