"""Ctrl-C and SIGTERM that wait until a step is done."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

_SIGNALS = signal.SIGINT, signal.SIGTERM  # from the keyboard; from a cluster that wants its nodes


class Interruptible:
    """Inside the block a first Ctrl-C or SIGTERM is only noted; a second one interrupts.

    Outside the main thread, which alone is told of signals, nothing changes.

    Attributes:
        asked: whether there was one.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in _SIGNALS}
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
