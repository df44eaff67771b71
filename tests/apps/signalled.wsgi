"""Writes down which signals and which end it was told of."""
import os
import time

import mod_wsgi


def note(*words):
    line = " ".join(str(word) for word in (os.getpid(), mod_wsgi.application_group or "main") + words)
    descriptor = os.open("{data}/notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, (line + "\n").encode())
    os.close(descriptor)


@mod_wsgi.subscribe_signals
def signalled(name, signame, signum, **rest):
    note(name, signame, signum)
    while os.path.exists("{data}/block"):
        time.sleep(0.01)


@mod_wsgi.subscribe_shutdown
def stopping(name, shutdown_reason, **rest):
    note(name, shutdown_reason)


def waits_here():
    note("holding")
    while not os.path.exists("{data}/go"): time.sleep(0.01)  # the line that is being executed


def application(environ, start_response):
    action = environ["QUERY_STRING"]
    if action == "hold":
        waits_here()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
