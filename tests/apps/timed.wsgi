"""Holds requests in several ways, and writes down why its process ends."""
import ctypes
import os
import time

import mod_wsgi


@mod_wsgi.subscribe_shutdown
def stopping(name, shutdown_reason, **rest):
    line = "%d %s %s\n" % (os.getpid(), shutdown_reason, mod_wsgi.application_group)
    descriptor = os.open("{data}/reasons", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def hold_here(name="held"):
    with open("{data}/" + name, "w") as file:
        file.write("%d\n" % os.getpid())
    while not os.path.exists("{data}/go"):
        time.sleep(0.01)


def application(environ, start_response):
    action = environ["QUERY_STRING"]
    if action == "hold":
        hold_here()
    elif action == "begin":
        start_response("200 OK", [("Content-Type", "text/plain")])(b"begin ")
        hold_here()
        return [b"end"]
    elif action == "defy":
        try:
            hold_here()
        except mod_wsgi.RequestTimeout:
            hold_here("defied")
    elif action == "clean":
        try:
            hold_here()
        except Exception:
            open("{data}/caught", "w").close()
    elif action == "block":
        # Through PyDLL the GIL stays held.
        ctypes.PyDLL(None).sleep(120)
    elif action == "stall":
        hold_here()
        ctypes.PyDLL(None).sleep(120)
    elif action == "late":
        hold_here()
        # Others have to wait this long at least.
        time.sleep(2.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
