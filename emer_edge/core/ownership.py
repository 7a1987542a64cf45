"""Whether somebody else can have written a file or folder: one rule for plans, and for bundles that are found."""

from __future__ import annotations

import grp
import os
import pwd
import stat


def why_not_mine(status: os.stat_result) -> str:
    """Why another user may have written what has this status; empty where only this one (and root) can.

    A group with nobody else in it, named as the user is, is the user: Ubuntu makes folders that it may write.
    """
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _own_group(status.st_gid)):
        return "can be written by others"
    return ""


def _own_group(number: int) -> bool:
    try:
        group, user = grp.getgrgid(number), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
