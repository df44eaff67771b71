"""Answers with its environ: a line `key<tab>repr` and a line `type key<tab>name of the type` for each key."""


def application(environ, start_response):
    lines = []
    for key in sorted(environ):
        lines.append("%s\t%r" % (key, environ[key]))
        lines.append("type %s\t%s" % (key, type(environ[key]).__name__))
    text = "".join(line + "\n" for line in lines)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode("utf-8", "backslashreplace")]


other = application
