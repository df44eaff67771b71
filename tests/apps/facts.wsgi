"""Answers with `key<tab>value` lines about its process."""
import locale
import os
import sys


def application(environ, start_response):
    umask = os.umask(0)
    os.umask(umask)
    facts = {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "uid": os.getuid(),
        "euid": os.geteuid(),
        "gid": os.getgid(),
        "groups": sorted(os.getgroups()),
        "umask": oct(umask),
        "cwd": os.getcwd(),
        "lang": os.environ.get("LANG"),
        "lc_all": os.environ.get("LC_ALL"),
        "locale": locale.setlocale(locale.LC_ALL),
        "numeric": locale.setlocale(locale.LC_NUMERIC),
        "home": os.environ.get("HOME"),
        "path0": sys.path[0],
        "path": sys.path,
        "prefix": sys.prefix,
        "executable": sys.executable,
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "thread": environ["mod_wsgi.thread_id"],
        "stdin": os.readlink("/proc/self/fd/0"),
    }
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["".join("%s\t%s\n" % item for item in facts.items()).encode()]
