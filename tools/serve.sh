#!/usr/bin/env bash
# Runs Apache on 127.0.0.1:$PORT in the foreground with the examples; Ctrl-C stops it. After tools/build.sh $PROFILE.
# State (virtual environments, database) is kept in $SERVE_STATE.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-8000}
examples=$PWD/examples
run=${SERVE_STATE:-$examples/.run}
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
module=$target/${PROFILE:-release}/libmod_wsgi.so
modules=$("${APXS:-apxs}" -q LIBEXECDIR)
python=${PYTHON:-/usr/bin/python3}
httpd=$(command -v apache2 || command -v httpd || echo /usr/sbin/apache2)

if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "serve: something listens on 127.0.0.1:$port already; choose another port with: make serve PORT=8001" >&2
    exit 1
fi

umask 022
as_apache() { setpriv --reuid www-data --regid www-data --clear-groups "$@"; }
if ((EUID == 0)) && [[ $target != "$PWD/target" ]]; then
    # The checkout is closed to Apache, or somebody else's (target-dir.sh): the examples run from a copy beside the build.
    run=${SERVE_STATE:-$target/serve}
    mkdir -p "$run"
    rm -rf "$run/examples"
    cp -R "$examples" "$run/examples"
    chown -R root:root "$run/examples"
    examples=$run/examples
fi
if ((EUID == 0)) && ! as_apache test -r "$examples/hello/app.wsgi"; then
    echo "serve: user www-data cannot read $examples: a folder above is closed to others (chmod o+x); or start as a normal user" >&2
    exit 1
fi
mkdir -p "$run/empty" "$run/django"
for example in flask:flask_app django:django_site; do
    venv=$run/${example%%:*}-venv
    [[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "examples/${example##*:}/requirements.txt"
done

export EXAMPLE_STATE=$run/django
[[ -s $EXAMPLE_STATE/secret-key ]] || "$python" -c 'import secrets; print(secrets.token_urlsafe(50))' >"$EXAMPLE_STATE/secret-key"
manage() { "$run/django-venv/bin/python" "$examples/django_site/manage.py" "$@"; }
manage migrate --verbosity 0
manage collectstatic --noinput --verbosity 0
DJANGO_SUPERUSER_PASSWORD=admin manage createsuperuser --noinput --username admin --email admin@localhost >/dev/null 2>&1 || true

identity=
sockets=$run
if ((EUID == 0)); then
    # Daemons run as www-data: they write the database, and read everything else.
    identity=$'User www-data\nGroup www-data'
    chown -R www-data:www-data "$EXAMPLE_STATE"
    chmod 640 "$EXAMPLE_STATE/secret-key"
fi
# Names of UNIX sockets are short.
if ((${#run} > 60)); then
    sockets=$(mktemp -d /tmp/wsgi-serve.XXXXXX)
    chmod 755 "$sockets"
fi

sed -e "s|@RUN@|$run|g; s|@PORT@|$port|g; s|@EXAMPLES@|$examples|g; s|@MODULES@|$modules|g; s|@MODULE@|$module|g; s|@SOCKETS@|$sockets|g" \
    -e "s|@IDENTITY@|${identity//$'\n'/\\n}|" examples/httpd.conf.in >"$run/httpd.conf"
"$httpd" -f "$run/httpd.conf" -t

cat <<TEXT

Apache serves on 127.0.0.1:$port, open one of these:
    http://127.0.0.1:$port/hello     a plain WSGI application
    http://127.0.0.1:$port/flask/    a guest book in Flask
    http://127.0.0.1:$port/django/   a Django site; /django/admin/ with user admin, password admin
The configuration is $run/httpd.conf. Ctrl-C stops everything.

TEXT
trap '[[ $sockets == "$run" ]] || rm -rf "$sockets"' EXIT
"$httpd" -f "$run/httpd.conf" -DFOREGROUND &
pid=$!
# The terminal's Ctrl-C reaches Apache as well; wait until it has ended its processes.
trap 'kill -TERM "$pid" 2>/dev/null || true' INT TERM
while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
# Not zero if Apache could not start.
wait "$pid"
