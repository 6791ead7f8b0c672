"""Which inverse kinematics: by name, or the fastest that is ready. Importing this is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from teleopd.service.retarget.compiled import cache

if TYPE_CHECKING:
    from teleopd.service.retarget.contacts import Contacts
    from teleopd.service.retarget.mink_solver import MinkSolver
    from teleopd.service.retarget.solver import FastSolver
    from teleopd.service.retarget.targets import TargetMap

SolverName = Literal["auto", "fast", "compiled", "mink"]
SOLVERS: tuple[SolverName, ...] = ("auto", "fast", "compiled", "mink")


class NoCompiler(ValueError):
    """The compiled solver was asked for by name and cannot be had."""


def chosen(name: SolverName) -> SolverName:
    """`auto` becomes `compiled` where numba is installed and has compiled before, else `fast`.

    Raises:
        ValueError: an unknown name.
    """
    if name not in SOLVERS:
        raise ValueError(f"unknown retargeting solver '{name}'; valid: {', '.join(SOLVERS)}")
    if name == "auto":
        return "compiled" if cache.is_ready() else "fast"
    return name


class Parts(NamedTuple):
    """What a retargeter is built of."""

    solver: type[FastSolver] | type[MinkSolver]
    target_map: type[TargetMap]
    contacts: type[Contacts] | None
    """None: the solver knows no contacts."""


def parts(name: SolverName) -> Parts:
    """The classes to build.

    Raises:
        NoCompiler: `compiled`, and numba is missing or does not work here; with `auto` the numpy solver serves then.
        ValueError: an unknown name.
    """
    from teleopd.service.retarget.contacts import Contacts
    from teleopd.service.retarget.mink_solver import MinkSolver
    from teleopd.service.retarget.solver import FastSolver
    from teleopd.service.retarget.targets import TargetMap

    wanted, plain = chosen(name), Parts(FastSolver, TargetMap, Contacts)
    if wanted == "mink":
        return Parts(MinkSolver, TargetMap, None)
    if wanted == "fast":
        return plain
    try:
        from teleopd.service.retarget.compiled.contacts import CompiledContacts
        from teleopd.service.retarget.compiled.solver import CompiledSolver
        from teleopd.service.retarget.compiled.targets import CompiledTargetMap
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: numba finds nowhere to keep what it compiles
        if name == "auto":
            return plain
        raise NoCompiler(
            f"solver 'compiled' needs numba, which does not import here ({error}); pip install 'teleopd[fast]', or "
            "take solver 'fast'"
        ) from None
    except Exception as error:  # a file of the cache that a power cut damaged: pickle raises anything
        cache.discard()
        if name == "auto":
            return plain
        raise NoCompiler(
            f"what solver 'compiled' was compiled to cannot be read ({type(error).__name__}: {error}) and is removed; "
            "start again, which compiles for half a minute, or take solver 'fast'"
        ) from None
    return Parts(CompiledSolver, CompiledTargetMap, CompiledContacts)
