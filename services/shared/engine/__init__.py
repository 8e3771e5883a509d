"""The batch lane: Faust's membership, assignment and lifecycle, with whole batches through the hot path.

The engine knows nothing of promises. It is given a `Machine` (pure functions) and keeps, for every partition this
worker owns, the packed records and a queue of their deadlines.
"""
