"""Shared memory between the processes of one host: slots (latest value wins) and rings (bounded, for recording)."""
