"""The one owner of a recording's files: overload, an end that does not wait for ever, a disk that is full."""

import threading

import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.kept_file import WriteError
from avatar_forcing_ros.run.recording import Recording


class Files:
    """Writes when it is allowed to, and remembers in which thread."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.written: list = []
        self.threads: set = set()
        self.closed, self.error = 0, error

    def write(self, item) -> None:
        self.begun.set()
        assert self.go.wait(30)
        self.threads.add(threading.get_ident())
        if self.error is not None and item == 1:
            raise self.error
        self.written.append(item)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1


def test_what_was_put_is_written_in_order_and_closed_by_the_same_thread():
    files = Files()
    recording = Recording(files.write, files.close, length=10)
    recording.begin()
    assert all(recording.put(i) for i in range(5))
    files.go.set()
    recording.finish()
    recording.finish()
    assert files.written == list(range(5)) and files.closed == 1 and not recording.fault
    assert len(files.threads) == 1 and threading.get_ident() not in files.threads
    assert not recording.put(6) and recording.dropped == 1


def test_an_overload_is_dropped_in_the_open_and_what_waits_at_the_end_is_written():
    files = Files()
    recording = Recording(files.write, files.close, length=3)
    recording.begin()
    recording.put(0)
    assert files.begun.wait(30)  # the encoder is at work on it
    taken = [recording.put(i) for i in range(1, 6)]
    assert taken == [True, True, True, False, False] and recording.dropped == 2
    files.go.set()
    recording.finish()
    assert files.written == [0, 1, 2, 3] and files.closed == 1


def test_an_end_without_patience_drops_what_waits_and_still_closes_the_files():
    files, now = Files(), [0.0]
    recording = Recording(files.write, files.close, length=10, patience_s=5.0, clock=lambda: now[0])
    recording.begin()
    for i in range(4):
        recording.put(i)
    assert files.begun.wait(30)
    end = threading.Thread(target=recording.finish)
    end.start()
    while recording.put(9):  # until it has been told to end
        pass
    before = recording.dropped
    now[0] = 6.0
    files.go.set()
    end.join(30)
    assert files.written == [0] and files.closed == 1 and recording.dropped - before >= 3


@pytest.mark.parametrize("error", [WriteError("the disk is full"), OSError(28, "No space left on device")])
def test_a_full_disk_ends_the_writing_and_closes_what_is_there(error):
    files = Files(error)
    files.go.set()
    recording = Recording(files.write, files.close, length=10)
    for i in range(4):
        recording.put(i)
    recording.begin()
    recording.finish()
    assert files.written == [0] and files.closed == 1 and recording.dropped == 2
    assert "disk is full" in recording.fault or "No space left" in recording.fault


def test_an_item_that_cannot_be_used_is_told_and_the_next_ones_are_written():
    files = Files(InputError("image of no size"))
    files.go.set()
    recording = Recording(files.write, files.close, length=10)
    for i in range(3):
        recording.put(i)
    recording.begin()
    recording.finish()
    assert files.written == [0, 2] and recording.unusable == "image of no size" and not recording.fault


def test_one_that_never_began_is_closed_all_the_same():
    files = Files()
    Recording(files.write, files.close, length=1).finish()
    assert files.closed == 1
