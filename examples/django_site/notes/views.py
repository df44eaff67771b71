"""The front page."""

from django.http import HttpResponse
from django.utils.html import format_html, format_html_join

from .models import Note


def index(request):
    notes = format_html_join("", "<li><b>{}</b> {}</li>", ((note.title, note.text) for note in Note.objects.all()))
    admin = request.build_absolute_uri(request.path + "admin/")
    return HttpResponse(format_html('<h1>Notes</h1><ul>{}</ul><a href="{}">Write one in the admin</a>', notes, admin))
