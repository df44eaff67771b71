#!/bin/sh
# Prints where to build: target/, or a folder outside where root has the checkout below a folder that is closed to others (/root):
# Apache gives up root, and then could neither load a runtime nor read a script from there.
here=$(cd "$(dirname "$0")/.." && pwd -P)
if [ "$(id -u)" = 0 ] && ! setpriv --reuid 65534 --regid 65534 --clear-groups test -r "$here/Makefile"; then
    echo "$here is closed to the user that Apache runs as; building in /var/cache/mod_wsgi-rs" >&2
    # Nobody but root can have made it.
    mkdir -p -m 755 /var/cache/mod_wsgi-rs
    echo /var/cache/mod_wsgi-rs
else
    echo "$here/target"
fi
