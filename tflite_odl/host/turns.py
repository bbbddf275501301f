"""A lock that threads get in the order in which they asked for it."""

from __future__ import annotations

import collections
import threading


class Turns:
    """A reentrant lock without overtaking.

    The standard library's lock goes to whoever asks first after it is free: a thread
    that trains in a loop would take it again and again while another waits.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: collections.deque[tuple[int, threading.Lock]] = (
            collections.deque()
        )
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._guard:
            if self._owner in (None, me):
                self._owner, self._depth = me, self._depth + 1
                return
            place = (me, threading.Lock())
            place[1].acquire()
            self._waiting.append(place)
        try:
            # Released by the thread before, which has made this one the owner.
            place[1].acquire()
        except BaseException:
            self._give_up(place)
            raise

    def __exit__(self, *exception: object) -> None:
        with self._guard:
            self._depth -= 1
            if not self._depth:
                self._hand_on()

    def _hand_on(self) -> None:
        if not self._waiting:
            self._owner = None
            return
        self._owner, place = self._waiting.popleft()
        self._depth = 1
        place.release()

    def _give_up(self, place: tuple[int, threading.Lock]) -> None:
        """Leaves the queue, or passes on the turn that came at this very moment."""
        with self._guard:
            if place in self._waiting:
                self._waiting.remove(place)
                return
            self._depth = 0
            self._hand_on()
