"""Answers with `key<tab>value` lines about the interpreter that it runs in."""
import os
import signal
import sys
import threading

import mod_wsgi


def kind(stream):
    return object.__getattribute__(stream, "__class__").__name__


def application(environ, start_response):
    facts = {
        "pid": os.getpid(),
        "group": mod_wsgi.application_group,
        "process": mod_wsgi.process_group,
        "stdout": kind(sys.stdout),
        "stdin": kind(sys.stdin),
        "signal": type(signal.signal).__name__,
        "interval": sys.getswitchinterval(),
        "path": sys.path,
        "optimize": sys.flags.optimize,
        "warnings": sys.warnoptions,
        "hash": hash("mod_wsgi"),
        "randomized": sys.flags.hash_randomization,
        "bytecode": not sys.dont_write_bytecode,
        "prefix": sys.prefix,
        "base": sys.base_prefix,
        "executable": sys.executable,
        "version": "%d.%d" % sys.version_info[:2],
        "eggs": os.environ.get("PYTHON_EGG_CACHE"),
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "main_thread": threading.main_thread().name,
    }
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["".join("%s\t%s\n" % item for item in facts.items()).encode()]
