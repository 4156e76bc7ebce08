"""A process that reads forests with LightGBM's library and says whether it lived through it.

Run as a script by `tree_trial`, without any other library, so that it starts in some hundredths of
a second. It reads forests' texts from its standard input, each after its length in bytes (as a
line), and writes one line: "sound" or what LightGBM said.

Arguments: the library's file, the columns of the forests, and how many bytes of memory may be used.
"""

import ctypes
import sys

NUMBERS, BY_ROWS, RAW_SUM = 1, 1, 1  # LightGBM's codes: float64, row by row, raw score


def main(library: str, n_columns: int, n_bytes: int) -> str:
    """Read every text, walk every tree; gives the line to write."""
    _limit(n_bytes)
    lightgbm = ctypes.CDLL(library)
    lightgbm.LGBM_GetLastError.restype = ctypes.c_char_p
    while line := sys.stdin.buffer.readline():
        wrong = _read(lightgbm, sys.stdin.buffer.read(int(line)), n_columns)
        if wrong:
            return str(lightgbm.LGBM_GetLastError().decode("utf-8", "replace"))
    return "sound"


def _read(lightgbm: ctypes.CDLL, text: bytes, n_columns: int) -> int:
    """0 when a forest can be read, and followed for rows of missing and of large codes."""
    handle, n_trees = ctypes.c_void_p(), ctypes.c_int()
    wrong: int = lightgbm.LGBM_BoosterLoadModelFromString(
        ctypes.c_char_p(text), ctypes.byref(n_trees), ctypes.byref(handle)
    )
    if wrong:
        return wrong
    parameters, length = ctypes.create_string_buffer(len(text) + 2**16), ctypes.c_int64()
    wrong = lightgbm.LGBM_BoosterGetLoadedParam(
        handle, ctypes.c_int64(len(parameters)), ctypes.byref(length), parameters
    )
    if wrong:
        return wrong
    for value in (float("nan"), 0.0, 1.0, 255.0):
        row, out = (ctypes.c_double * n_columns)(*[value] * n_columns), ctypes.c_double()
        wrong = lightgbm.LGBM_BoosterPredictForMat(
            handle,
            row,
            NUMBERS,
            ctypes.c_int32(1),
            ctypes.c_int32(n_columns),
            BY_ROWS,
            RAW_SUM,
            0,
            -1,
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(length),
            ctypes.byref(out),
        )
        if wrong:
            return wrong
    return int(lightgbm.LGBM_BoosterFree(handle))


def _limit(n_bytes: int) -> None:
    """No more memory than this, and no core file; where the system knows such limits."""
    try:
        import resource
    except ImportError:  # Windows: the time limit alone
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])) + "\n")
