"""Runs a module as a program that ends with its parent: `python leash.py FOLDER MODULE ARGUMENT...`

Standard input is the leash. When its other end closes, because the parent let go or was killed, the program ends at
once and FOLDER is removed. A death signal (PR_SET_PDEATHSIG) would follow the parent's thread instead of its process,
and would leave the folder. Test: test_it_ends_with_its_parent_however_that_ends.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import threading
from pathlib import Path


def _end_with_parent(folder: Path) -> None:
    while os.read(0, 4096):
        pass
    for _ in range(10):  # the program still runs, and may add a file between listing and removing
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
    os._exit(1)


def main() -> None:
    folder, module, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_parent, args=(Path(folder),), daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
