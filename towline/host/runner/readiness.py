"""What a host lacks for a deployment, as far as it can be known before the first event."""

import os

from towline.host.runner.constants import OF_LAST_INSTALL
from towline.host.runner.text import as_text
from towline.host.runner.tools import find_tool
from towline.host.runner.untouched import weak_directory_above

SPARE_INODES = 20


def lacking(host, order):
    """(problems, warnings): what makes the deployment fail here, and what may: an earlier script can mend it, and
    `permissions` count only where they match a file, which Install sees before it changes anything."""
    problems, warnings, earlier = [], [], ""
    plan = order.get("plan") or {}
    hooks = plan.get("hooks") or {}
    for event in order.get("events") or ():
        if event in OF_LAST_INSTALL:
            continue  # those scripts are the last revision's
        if event == "Install":
            warnings += filter(None, (check(*arguments) for check, *arguments in install_needs(plan)))
        needs = []
        for script in hooks.get(event) or ():
            needs += script_needs(event, script)
        for trouble in filter(None, (check(*arguments) for check, *arguments in needs)):
            found = warnings if earlier else problems
            text = "%s, unless %s makes it" % (trouble, earlier) if earlier else trouble
            if text not in found:
                found.append(text)
        for script in hooks.get(event) or ():
            earlier = earlier or as_text(script["location"])
    return problems + place_problems(host, order, bool(earlier)), warnings


def install_needs(plan):
    needs = []
    for permission in plan.get("permissions") or ():
        use = "permissions of " + as_text(permission.get("object") or "")
        needs += [(no_user, permission.get("owner"), use), (no_group, permission.get("group"), use)]
        if permission.get("acls") is not None:
            needs.append((no_tool, "setfacl", use))
        if permission.get("context") is not None:
            needs += [(no_tool, "semanage", use), (no_tool, "restorecon", use)]
    return needs


def script_needs(event, script):
    use = "%s in %s" % (as_text(script["location"]), event)
    needs = [(no_tool, "sudo", use)] if script.get("sudo") else []
    if script.get("runas") is not None and os.geteuid() == 0:
        needs += [(no_tool, "su", use), (no_user, script["runas"], use)]
    return needs


def no_user(name, use):
    import pwd

    if not name or str(name).isdigit():
        return ""
    try:
        pwd.getpwnam(name)
        return ""
    except (KeyError, ValueError):
        return "there is no user %s on this host (%s)" % (as_text(name), use)


def no_group(name, use):
    import grp

    if not name or str(name).isdigit():
        return ""
    try:
        grp.getgrnam(name)
        return ""
    except (KeyError, ValueError):
        return "there is no group %s on this host (%s)" % (as_text(name), use)


def no_tool(name, use):
    return "" if find_tool(name) else "this host has no %s (%s)" % (name, use)


def place_problems(host, order, has_scripts):
    """What the file system of the deployment root lacks."""
    place = host.deployments
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    info, found = os.statvfs(place), []
    size = (order.get("revision") or {}).get("size") or 0
    free = info.f_bavail * info.f_frsize
    if free < size:
        text = "no room at %s: %d KiB are free, the archive alone has %d KiB (df -h)"
        found.append(text % (as_text(place), free >> 10, size >> 10))
    for directory in (host.deployments, host.state) if not host.root else ():
        weak = weak_directory_above(directory)
        if weak:
            text = (
                "%s, and root runs what lies below it: chown root and chmod go-w mend that, or another deploymentRoot"
            )
            found.append(text % weak)
    if info.f_files and info.f_favail < SPARE_INODES:
        found.append("no room at %s: %d inodes are free (df -i)" % (as_text(place), info.f_favail))
    if has_scripts and info.f_flag & os.ST_NOEXEC:
        found.append(
            "scripts cannot run from %s, which is mounted noexec (deploymentRoot can be moved)" % as_text(place)
        )
    return found
