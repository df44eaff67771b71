"""A Flask application, mounted somewhere below the root."""
import os
import zlib

from flask import Flask, Response, jsonify, request, send_file, session, url_for

application = Flask(__name__)
application.secret_key = "only for tests"
DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data")


@application.get("/")
def index():
    return "hello from Flask"


@application.get("/where")
def where():
    return jsonify(url=url_for("where"), root=request.script_root, path=request.path, scheme=request.scheme)


@application.post("/form")
def form():
    session["name"] = request.form["name"]
    return "stored", 201


@application.get("/form")
def stored():
    return session.get("name", "nobody")


@application.post("/upload")
def upload():
    data = request.files["file"].read()
    return "%d %d\n" % (len(data), zlib.adler32(data))


@application.get("/download")
def download():
    return send_file(os.path.join(DATA, "large"), mimetype="application/octet-stream")


@application.get("/stream")
def stream():
    return Response(("line %d\n" % number for number in range(5000)), mimetype="text/plain")


@application.get("/fails")
def fails():
    raise ValueError("raised by a view")
