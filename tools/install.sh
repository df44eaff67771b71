#!/usr/bin/env bash
# Installs module, daemon and runtimes of target/release into Apache's module folder, and prints the line for httpd.conf.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
# Root may be told to build elsewhere (target-dir.sh); here somebody else has built.
[[ -e $target/release/libmod_wsgi.so ]] || target=target
for part in libmod_wsgi.so mod_wsgi-daemon libmod_wsgi_preload.so "mod_wsgi/python*.so" "mod_wsgi/python*.conf"; do
    compgen -G "$target/release/$part" >/dev/null || {
        echo "install: there is no $PWD/$target/release/$part; build first, as the user who has cargo: make build" >&2
        exit 1
    }
done
folder=$("${APXS:-apxs}" -q LIBEXECDIR)
[[ -z ${PREFIX:-} ]] || folder=$PREFIX/lib/apache2/modules
destination=${DESTDIR:-}$folder
install -d -m 755 "$destination" "$destination/mod_wsgi"
# Debug information stays in the build folder.
install -m 644 -s "$target/release/libmod_wsgi.so" "$destination/mod_wsgi.so"
install -m 755 -s "$target/release/mod_wsgi-daemon" "$destination/mod_wsgi/mod_wsgi-daemon"
install -m 644 -s "$target/release/libmod_wsgi_preload.so" "$destination/mod_wsgi/libmod_wsgi_preload.so"
for runtime in "$target"/release/mod_wsgi/python*.so; do
    install -m 644 -s "$runtime" "$destination/mod_wsgi/"
    install -m 644 "${runtime%.so}.conf" "$destination/mod_wsgi/"
done
echo "LoadModule wsgi_module $folder/mod_wsgi.so"
