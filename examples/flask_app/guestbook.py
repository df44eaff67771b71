"""A guest book in Flask. Entries live in the memory of one process, so its daemon group has one."""

from flask import Flask, redirect, render_template, request, url_for

app = Flask(__name__)
entries = []


@app.get("/")
def index():
    return render_template("index.html", entries=entries)


@app.post("/")
def add():
    text = request.form.get("text", "").strip()
    if text:
        entries.append(text[:200])
    return redirect(url_for("index"))


@app.get("/count")
def count():
    return {"entries": len(entries)}
