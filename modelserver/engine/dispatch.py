"""Where a sync predict runs: on the event loop while it is provably short, in a thread otherwise. Pure.

A hop to a thread and back costs more than many a predict, and a predict on the loop holds up everything else.
So a model starts in threads; only an unbroken record of short calls brings it onto the loop; one slow call there
sends it back, and the next record must be four times as long.
"""

from __future__ import annotations

#: A call this short (seconds) counts towards the loop: a fraction of what a thread hop costs the throughput.
SHORT = 0.0005
#: A call this long wipes the record out. In between lies what a busy machine does to a short call.
SLOW = 0.005
#: Short calls in a row before the first call on the loop.
RECORD = 32
#: Short calls on the loop after which a slow one long ago is forgiven: it was the machine's, not the model's.
FORGIVEN = 2000


class Dispatch:
    """The record of one model; ``inline`` says where the next call goes."""

    __slots__ = ("_fixed", "_needed", "_record", "inline")

    def __init__(self, execution: str = "auto") -> None:
        self.inline = execution == "inline"
        self._fixed = execution != "auto"
        self._record = 0
        self._needed = RECORD

    def observe(self, seconds: float) -> None:
        """Told how long each call took, wherever it ran."""
        if seconds < SHORT:
            self._record += 1
            if self.inline:
                if self._record >= FORGIVEN and self._needed > RECORD:
                    self._needed //= 4
                    self._record = 0
            elif not self._fixed:
                self.inline = self._record >= self._needed
        elif not self._fixed:
            self._slower(seconds)

    def _slower(self, seconds: float) -> None:
        if seconds > SLOW:
            if self.inline:
                self._needed *= 4
            self.inline = False
            self._record = 0
        else:
            # Between short and slow: noise if rare, the truth if often.
            self._record -= 4
            if self._record <= 0:
                self.inline = False
                self._record = 0
