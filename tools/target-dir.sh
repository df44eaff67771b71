#!/bin/sh
# Prints where to build: target/; or, for root, a folder of root's where the checkout is closed to the user that Apache becomes
# (below /root), which then could neither load a runtime nor read a script from there, or where somebody else may write to it:
# Apache started as root loads nothing from such a place.
here=$(cd "$(dirname "$0")/.." && pwd -P)
elsewhere=/var/cache/mod_wsgi-rs

# Why not below the checkout; nothing if there is no reason.
objection() {
    setpriv --reuid 65534 --regid 65534 --clear-groups test -r "$here/Makefile" || {
        echo "is closed to the user that Apache runs as"
        return
    }
    folder=$here
    while :; do
        [ "$(stat -c %u "$folder")" = 0 ] || {
            echo "lies below $folder, which belongs to user $(stat -c %U "$folder")"
            return
        }
        # Folders with the sticky bit, such as /tmp, are fine.
        case $(stat -c %A "$folder") in
        *[tT]) ;;
        d????w* | d???????w*)
            echo "lies below $folder, which others may write to"
            return
            ;;
        esac
        [ "$folder" != / ] || return
        folder=$(dirname "$folder")
    done
}

reason=
[ "$(id -u)" != 0 ] || reason=$(objection)
if [ -n "$reason" ]; then
    echo "$here $reason; building in $elsewhere" >&2
    # Nobody but root can have made it.
    mkdir -p -m 755 "$elsewhere"
    echo "$elsewhere"
else
    echo "$here/target"
fi
