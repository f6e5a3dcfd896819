"""What clients do, one module for each kind: `run` works until the client is told to stop, and writes down all of it.

They ask nothing twice by themselves: what the SDK promises is what is tried. And they judge nothing: that is for
the invariants, which read the journals when all is over.
"""
