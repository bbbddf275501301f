"""Threads that share a session: every call is whole, and nobody overtakes for ever."""

from __future__ import annotations

import concurrent.futures
import threading

import numpy as np
import pytest

from tests.host import toy
from tflite_odl.errors import ContractError
from tflite_odl.host.runtimes import RUNTIMES
from tflite_odl.host.session import Session
from tflite_odl.host.turns import Turns

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = RNG.integers(0, 2, 60).astype(np.int32)
WORKERS, CALLS = 4, 200


@pytest.fixture(params=RUNTIMES)
def session(request, tmp_path):
    folder = toy.write(tmp_path / "artifact")
    with Session(folder, request.param, checkpoint_dir=tmp_path / "state") as session:
        yield session


def test_rows_come_back_to_the_thread_that_asked(session):
    expected = session.infer(X)

    def ask(worker: int) -> int:
        wrong = 0
        for n in range(CALLS):
            row = (worker * CALLS + n) % len(X)
            wrong += int((session.infer(X[row : row + 1]) != expected[row]).any())
        return wrong

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        assert sum(pool.map(ask, range(WORKERS))) == 0


def test_training_in_threads_is_training_in_some_order(session):
    """All threads train on one batch, so every order gives the same state."""
    with Session(session.artifact) as alone:
        for _ in range(WORKERS * CALLS):
            alone.train(x=X[:4], y=Y[:4])
        expected = alone.state()

    def train(worker: int) -> list[int]:
        steps = []
        for n in range(CALLS):
            steps.append(int(session.train(x=X[:4], y=Y[:4])["step"][0]))
            if n % 50 == worker:
                session.infer(X[:7])
                session.save_checkpoint()
        return steps

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        steps = sorted(
            step for part in pool.map(train, range(WORKERS)) for step in part
        )
    assert steps == list(range(1, WORKERS * CALLS + 1))
    assert session.position == WORKERS * CALLS
    found = session.state()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
    step = session.restore_checkpoint()
    assert step == session.position == session.step


def test_reset_load_and_close_beside_calls(session):
    shipped, stop = session.state(include_buffers=True), threading.Event()

    def call() -> str:
        while not stop.is_set():
            try:
                session.infer(X[:3])
                session.train(x=X[:2], y=Y[:2])
            except ContractError as error:
                return str(error)
        return "stopped"

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        calls = [pool.submit(call) for _ in range(WORKERS)]
        for _ in range(10):
            session.reset()
            session.load_state(shipped)
        session.close()
        found = {one.result(timeout=60) for one in calls}
        stop.set()
    assert found == {"this session is closed: open another one"}


def test_turns_come_in_the_order_of_asking_and_can_be_nested():
    turns, order, threads = Turns(), [], []

    def take(number: int) -> None:
        with turns, turns:
            order.append(number)

    with turns:
        for number in range(8):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(turns._waiting) <= number:
                pass
        with turns:
            assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_a_thread_that_asks_again_waits_behind_the_others():
    """Else inference would starve beside a loop of training steps."""
    turns, order = Turns(), []

    def once() -> None:
        with turns:
            order.append("other")

    other = threading.Thread(target=once)
    with turns:
        other.start()
        while not turns._waiting:
            pass
    with turns:
        order.append("again")
    other.join()
    assert order == ["other", "again"]


def test_a_turn_that_is_given_up_goes_on_to_the_next():
    """As when Ctrl-C comes while a thread waits, or at the moment its turn comes."""
    turns, place = Turns(), (0, threading.Lock())
    place[1].acquire()
    with turns:
        turns._waiting.append(place)
        turns._give_up(place)
        assert not turns._waiting
        turns._waiting.append(place)
    assert turns._owner == 0
    turns._give_up(place)
    with turns:
        assert turns._owner == threading.get_ident()
