"""Creates, deletes, renames, truncates and extends files and directories until its standard input is closed.

    change-all-the-time.py DIRECTORY
"""

import os
import random
import select
import shutil
import sys

directory = sys.argv[1]
os.chdir(directory)


def some():
    names = os.listdir(".")
    return random.choice(names) if names else "none"


def write(name, mode):
    flags = os.O_APPEND if mode == "ab" else os.O_TRUNC
    # Non-blocking, because the name may be a FIFO.
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | flags, 0o644)
    try:
        os.write(descriptor, os.urandom(random.randrange(300_000)))
    finally:
        os.close(descriptor)


def replace():
    name = some()
    if os.path.isdir(name):
        shutil.rmtree(name, ignore_errors=True)
        write(name, "wb")
    else:
        os.unlink(name)
        os.mkdir(name)
        write(name + "/inside", "wb")


def rename(old, name):
    # A rename of a directory that fails makes the brick forget the directory (10.3, 11.1).
    if not (os.path.isdir(old) and os.path.isdir(name) and os.listdir(name)):
        os.rename(old, name)


def new():
    return "file-%d" % random.randrange(60)


changes = [
    lambda: write(new(), "wb"),
    lambda: write(new(), "wb"),
    lambda: write(some(), "ab"),
    lambda: os.truncate(some(), random.randrange(1000)),
    lambda: os.unlink(some()),
    lambda: rename(some(), some()),
    lambda: rename(some(), new()),
    lambda: os.link(some(), new()),
    lambda: os.symlink(some(), new()),
    lambda: os.mkfifo(new()),
    replace,
]
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        random.choice(changes)()
    except OSError:
        # The chosen entry was deleted or has another type.
        pass
