"""Doing again what failed for a reason that passes, each time after a longer pause."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from pixie_retrievers.errors import EngineUnavailableError
from pixie_retrievers.index.remote.engine import TransientFailureError

__all__ = ["Attempts"]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_Value = TypeVar("_Value")


class Attempts:
    """The tries of one call, all together bounded in time.

    Args:
        location: Where the engine is, for the message.
        timeout_s: After so long nothing is tried again.
    """

    def __init__(self, location: str, timeout_s: float) -> None:
        self._location = location
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._pause_s = _FIRST_PAUSE_S

    def run(self, call: Callable[[], _Value]) -> _Value:
        """Call until it goes well.

        Raises:
            EngineUnavailableError: It did not, in all the time there is.
        """
        while True:
            try:
                return call()
            except TransientFailureError as error:
                if not self.wait():
                    raise self.ended_by(error) from error

    def ended_by(self, error: TransientFailureError) -> EngineUnavailableError:
        """The error of a call that did not go well in time."""
        return EngineUnavailableError(
            f"{self._location} did not answer within {self._timeout_s:g} s ({error}): see whether it runs and can be"
            " reached; timeout_s in the URL says how long to try"
        )

    def wait(self) -> bool:
        """Pause before another try; False when there is no time left for one."""
        pause = self._pause_s * random.uniform(0.5, 1.5)  # noqa: S311  # so that clients do not come back all at once
        if time.monotonic() + pause > self._end:
            return False
        time.sleep(pause)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return True

    def restart(self) -> None:
        """Something went well: the time counts from now."""
        self._end = time.monotonic() + self._timeout_s
        self._pause_s = _FIRST_PAUSE_S
