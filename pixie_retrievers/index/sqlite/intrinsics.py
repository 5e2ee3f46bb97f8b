"""What compiled loops need and numba's Python has no words for: pointers, an atomic counter, prefetching."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["at", "claim", "prefetch"]


def _pointer(_typing: Any, _address: Any) -> Any:
    """An address as a pointer."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def _fetch_and_add(_typing: Any, _address: Any) -> Any:
    """Count the int64 at an address up by one, in one step that no other thread can come between; what it was."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        counter = builder.inttoptr(arguments[0], cgutils.intp_t.as_pointer())
        return builder.atomic_rmw("add", counter, cgutils.intp_t(1), "monotonic")

    return types.intp(types.intp), generate


def _ask_for(_typing: Any, _array: Any, _place: Any) -> Any:
    """Ask memory for the cache line of an array's element, and do not wait; outside the array nothing happens."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        line = builder.bitcast(builder.gep(array.data, [arguments[1]]), cgutils.voidptr_t)
        hint = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], _PREFETCH)
        builder.call(hint, [line, cgutils.int32_t(0), cgutils.int32_t(3), cgutils.int32_t(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(types.Array(_array.dtype, 1, _array.layout), types.int64), generate


_ir: Any = cgutils.ir  # type: ignore[attr-defined]
_PREFETCH = _ir.FunctionType(_ir.VoidType(), [cgutils.voidptr_t, cgutils.int32_t, cgutils.int32_t, cgutils.int32_t])
at: Any = intrinsic(_pointer)
prefetch: Any = intrinsic(_ask_for)
claim: Any = intrinsic(_fetch_and_add)
