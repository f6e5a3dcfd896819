"""What goes wrong, one module for each thing that it happens to.

A fault is a function `do(scene, step)` that makes it happen and returns what it hit, with how to undo it; None where
there is nothing to hit at the moment. `table` says which there are and how often each is taken.
"""
