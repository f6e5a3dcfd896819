"""What must hold, one module for each promise: each reads the evidence of a campaign, and says what it found.

`check(evidence)` returns a Verdict. None of them asks the service: what a client wrote down, and what is seen from
outside when all is over, is all that they know.
"""
