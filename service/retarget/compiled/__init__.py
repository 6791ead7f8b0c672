"""The solver's steps compiled by numba (extra `fast`): the same rows and the same problem as the numpy path."""
