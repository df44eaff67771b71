"""Writes down every event of its interpreter; what is wrong with one is a line that begins with `wrong`."""
import sys

import mod_wsgi

# What comes with some requests only.
SOMETIMES = ("request_id", "cpu_time", "cpu_user_time", "cpu_system_time")
current = {}


def note(text):
    with open("{data}/events", "a") as file:
        file.write(text + "\n")


def expect(condition, what):
    if not condition:
        note("wrong: " + what)


def check_started(event):
    current.clear()
    current.update(event)
    environ = event["request_environ"]
    expect(event["application_object"] is application, "application_object")
    expect(event["callable_object"] == environ["mod_wsgi.callable_object"] == "application", "callable_object")
    for key in ("thread_id", "request_start", "queue_start", "daemon_start", "application_start"):
        expect(event[key] == environ["mod_wsgi." + key], key)
    expect(str(event["server_pid"]) == environ["mod_wsgi.server_pid"], "server_pid")
    expect(event.get("request_id") == environ.get("mod_wsgi.request_id"), "request_id")
    expect((event["daemon_start"] > 0) == (mod_wsgi.process_group != ""), "daemon_start")
    expect((event["queue_start"] > 0) == (mod_wsgi.process_group != ""), "queue_start")
    expect(event["daemon_connects"] >= 0 and event["daemon_restarts"] == 0, "daemon_connects")
    expect(0 < event["request_start"] <= event["application_start"], "application_start")
    expect(event["request_data"] is mod_wsgi.request_data() and event["request_data"] == {}, "request_data")
    event["request_data"]["mine"] = environ["QUERY_STRING"]


def check_response(event):
    expect(event["request_data"] is current["request_data"], "request_data of the response")
    expect(event["response_status"] == "201 Created", "response_status")
    expect(event["response_headers"] == [("X-Mine", "yes")], "response_headers")
    event["response_headers"].append(("X-Added", "by a subscriber"))
    expect(event["exception_info"] is None, "exception_info")


def check_finished(event):
    for key in ("request_id", "thread_id", "server_pid", "request_start", "queue_start", "daemon_start"):
        expect(event.get(key) == current.get(key), key + " at the end")
    expect(event["request_data"] is current["request_data"], "request_data at the end")
    expect(event["request_data"] == {"mine": "checked"}, "what was kept for the end")
    expect(current["application_start"] <= event["application_finish"], "application_finish")
    expect(event["input_reads"] >= 1 and event["input_length"] == 5, "input_length")
    expect(event["output_writes"] >= 2 and event["output_length"] == 5, "output_length")
    expect(event["status"] == 201, "status")
    for key in ("application_time", "input_time", "output_time", "gil_wait_time", "gil_wait_count"):
        expect(event[key] >= 0, key)
    # Of processes with a clock of ticks, which the scale makes up for.
    expect(event.get("cpu_time", 0) <= event["application_time"] * 1.001, "cpu_time")


CHECKS = {
    "request_started": check_started,
    "response_started": check_response,
    "request_finished": check_finished,
}


@mod_wsgi.subscribe_events
def subscriber(name, **event):
    keys = (key for key in sorted(event) if key not in SOMETIMES)
    types = " ".join("%s:%s" % (key, type(event[key]).__name__) for key in keys)
    if name in CHECKS:
        try:
            CHECKS[name](event)
        except Exception as error:
            note("wrong: %r in %s" % (error, name))
    # Of no effect: only what is returned counts.
    event["application_object"] = None
    note("%s %s" % (name, types))


def application(environ, start_response):
    identifier = environ.get("mod_wsgi.request_id")
    if identifier is not None:
        expect(mod_wsgi.active_requests == {identifier: mod_wsgi.request_data()}, "active_requests")
    environ["wsgi.input"].read()
    start_response("201 Created", [("X-Mine", "yes")])
    return [b"abc", b"de"]
