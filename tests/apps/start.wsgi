"""Calls start_response with the arguments that the header X-Args holds as Python, and tells what came of it."""


def application(environ, start_response):
    result = "accepted"
    try:
        arguments = eval("(lambda *a, **k: (a, k))(%s)" % environ["HTTP_X_ARGS"], {})
        write = start_response(*arguments[0], **arguments[1])
        result = "accepted" if callable(write) else "no callable"
    except BaseException as error:
        result = type(error).__name__
    if result != "accepted" or environ.get("HTTP_X_REPLACE"):
        start_response("200 OK", [("X-Result", result)])
    return []
