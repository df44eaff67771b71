"""The file that WSGIScriptAlias names: it only has to define `application`."""

from guestbook import app as application  # noqa: F401
