"""Uses up what its process is limited to, and tells what the limits are."""
import ctypes
import os
import threading
import time

import mod_wsgi


@mod_wsgi.subscribe_shutdown
def stopping(name, shutdown_reason, **rest):
    with open("{data}/reason-%d" % os.getpid(), "w") as file:
        file.write(shutdown_reason + "\n")


def stack_size():
    """That of the thread that calls it, as the C library knows it."""
    library = ctypes.CDLL(None, use_errno=True)
    library.pthread_self.restype = ctypes.c_ulong
    attributes = ctypes.create_string_buffer(256)
    library.pthread_getattr_np(ctypes.c_ulong(library.pthread_self()), attributes)
    size = ctypes.c_size_t()
    library.pthread_attr_getstacksize(attributes, ctypes.byref(size))
    return size.value


@mod_wsgi.subscribe_signals
def signalled(name, **rest):
    with open("{data}/stack", "w") as file:
        file.write("%d\n" % stack_size())


def burn(seconds):
    """Uses CPU time of the process until there is that much."""
    while time.process_time() < seconds:
        pass


def allocate(size):
    try:
        # Written to, so that it is not only promised.
        return "got %d" % len(bytearray(size))
    except MemoryError:
        return "MemoryError"


def application(environ, start_response):
    action, _, argument = environ["QUERY_STRING"].partition("=")
    if action == "burn":
        burn(float(argument))
        text = str(os.getpid())
    elif action == "allocate":
        text = allocate(int(argument))
    elif action == "stack":
        text = str(stack_size())
    elif action == "file":
        text = os.path.dirname(os.__file__)
    elif action == "exhaust":
        # Every descriptor there is, until somebody says that it is enough.
        import resource
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            text = str(error.errno)
        # The test cannot write a file that this process could open; it may still look whether there is one.
        while len(held) > 1:
            try:
                os.stat("{data}/go")
                break
            except FileNotFoundError:
                if not os.access("{data}/full", os.F_OK):
                    os.mkdir("{data}/full")
                time.sleep(0.01)
        for descriptor in held:
            os.close(descriptor)
    else:
        text = str(os.getpid())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
