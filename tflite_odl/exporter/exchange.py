"""Two names of a folder change places in one step, where the system can."""

from __future__ import annotations

import ctypes
import errno
import os
import pathlib
import sys

# linux/fs.h and macOS' sys/stdio.h.
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


def exchange(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Exchanges two names: at every moment, each of them is there.

    Returns:
      Whether the system and the file system can; otherwise nothing has changed.

    Raises:
      OSError: they can, but not these two.
    """
    names = [os.fsencode(path) for path in (one, other)]
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if sys.platform == "darwin":
        call = getattr(library, "renamex_np", None)
        arguments = (*names, _RENAME_SWAP)
    else:
        call = getattr(library, "renameat2", None)
        first, second = names
        arguments = (_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    if call is None:
        return False
    if call(*arguments) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(one))
