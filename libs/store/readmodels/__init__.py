"""Read models: one file each with its table, its reactions and its queries.

A read model is a pure function of the event log; `apply` takes a batch of events in order and
changes nothing when it has seen them before.
"""
