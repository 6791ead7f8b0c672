"""The composition root: command line, registry, process table. Nothing imports it."""
