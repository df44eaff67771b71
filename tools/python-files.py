"""Prints python3.X.conf, which says where the Python is that runs this: for tools/build.sh, beside the runtime for it."""

import os
import sys
import sysconfig

HEADER = "# Where the Python of {}.so is. Made when that was built; read by mod_wsgi.so and mod_wsgi-daemon."


def executable():
    """Its executable, if the interpreter is linked into it, and not in a library that it loads."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        if "/libpython" in maps.read():
            return None
    if "export-dynamic" not in (sysconfig.get_config_var("LINKFORSHARED") or ""):
        # Extension modules, and the runtime, could not see the interpreter's functions.
        return None
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def library():
    """Its shared library, if it has one."""
    version = sysconfig.get_config_var("LDVERSION") or sysconfig.get_config_var("VERSION")
    folder = sysconfig.get_config_var("LIBDIR") or os.path.join(sys.base_prefix, "lib")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for place in (os.path.join(folder, multiarch), folder):
        path = os.path.join(place, f"libpython{version}.so.1.0")
        if os.path.isfile(path):
            return path
    return None


files = {"executable": executable(), "library": library()}
if not any(files.values()):
    sys.exit(f"{sys.executable}: neither an executable with Python in it nor a libpython was found; build it with --enable-shared")
print(HEADER.format(sys.argv[1]))
for name, path in files.items():
    if path:
        print(f"{name}={path}")
