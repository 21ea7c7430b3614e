"""Files and directories: synced writes, private directories, removal without following links."""

import errno
import os

from towline.host.runner.constants import CHUNK
from towline.host.runner.json_binding import dumps, loads
from towline.host.runner.text import as_name


def make_private(path):
    """A directory for us alone; one that is there already is closed to others."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        os.chmod(path, 0o700)
    else:
        sync_directory(os.path.dirname(path.rstrip("/")))


def sync_directory(path):
    """So that a name made in it is there after a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_synced(path, data, mode=0o600):
    """Replaces a file so that after a power cut the old or the new is there, never half of one."""
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))


def write_all(fd, data):
    """`os.write` until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_json(path, value):
    write_synced(path, dumps(value, sort_keys=True).encode())


def read_bytes(path):
    """A file's content, or None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def read_json(path):
    """A JSON file's value, or None where there is none that can be read."""
    data = read_bytes(path)
    try:
        return None if data is None else as_name(loads(data.decode()))
    except ValueError:
        return None


def read_pointer(path):
    data = read_bytes(path)
    return os.fsdecode(data.rstrip(b"\r\n")) if data and data.strip() else None


def remove(path):
    """A file away, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def discard(path):
    """A file away if that can be; what keeps it there is no reason to stop."""
    try:
        os.unlink(path)
    except OSError:
        pass


def remove_tree(path):
    """What is there away, a directory with all that is in it; links are not followed.

    By descriptors, so that an owner of what lies inside cannot lead us elsewhere meanwhile. shutil does the same, and
    takes longer to load than a revision's files to remove.
    """
    parent, name = os.path.split(path)
    try:
        fd = os.open(parent, FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        remove_in(fd, name)
    finally:
        os.close(fd)


FOLDER = os.O_RDONLY | os.O_DIRECTORY


def remove_in(directory, name):
    """What an open directory has under a name.

    Whatever the depth, two descriptors do: a directory is moved up before it is emptied. So is seen, too, that nothing
    is mounted on it: raises OSError (EBUSY) then, and leaves what is mounted there alone.
    """
    if not is_left_directory(directory, name):
        return
    fresh = fresh_names()
    aside = move_aside(directory, name, directory, fresh)
    os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
    top = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=directory)
    try:
        waiting = empty_into(top, top, fresh)
        while waiting:
            inner = waiting.pop()
            fd = os.open(inner, FOLDER | os.O_NOFOLLOW, dir_fd=top)
            try:
                waiting += empty_into(fd, top, fresh)
            finally:
                os.close(fd)
            os.rmdir(inner, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=directory)


def is_left_directory(directory, name):
    """Removes a name if it is no directory, or an empty one; whether there is a directory still."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return True
    return False


def empty_into(directory, top, fresh):
    """Removes the files of an open directory and moves its directories to `top`; returns their new names."""
    names = os.listdir(directory)
    return [move_aside(directory, name, top, fresh) for name in names if is_left_directory(directory, name)]


def move_aside(directory, name, top, fresh):
    """Gives a directory a name of ours in `top`, and returns it."""
    while True:
        new = next(fresh)
        try:
            os.rename(name, new, src_dir_fd=directory, dst_dir_fd=top)
            return new
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise


def fresh_names():
    """Names that nothing else has."""
    start = ".removed-" + os.urandom(6).hex() + "-"
    number = 0
    while True:
        number += 1
        yield start + str(number)


def touch(path):
    """Makes the file or renews its time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.utime(fd)
    finally:
        os.close(fd)


def sha256_of(path):
    """(hex digest, size) of a file, or (None, 0) where there is none."""
    import hashlib

    digest, size = hashlib.sha256(), 0
    try:
        with open(path, "rb", buffering=0) as file:
            while True:
                piece = file.read(CHUNK)
                if not piece:
                    return digest.hexdigest(), size
                digest.update(piece)
                size += len(piece)
    except OSError:
        return None, 0
