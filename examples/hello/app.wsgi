"""The smallest WSGI application: what mod_wsgi-rs tells it about where it runs."""


def application(environ, start_response):
    lines = [
        "Hello from mod_wsgi-rs!",
        "",
        f"process group:     {environ['mod_wsgi.process_group'] or '(Apache itself)'}",
        f"application group: {environ['mod_wsgi.application_group'] or '(main interpreter)'}",
        f"script name:       {environ['SCRIPT_NAME'] or '/'}",
        f"path info:         {environ['PATH_INFO']}",
    ]
    body = "\n".join(lines).encode() + b"\n"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
