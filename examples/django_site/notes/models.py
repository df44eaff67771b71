"""One table."""

from django.db import models


class Note(models.Model):
    """A note that the admin writes and the front page lists."""

    title = models.CharField(max_length=100)
    text = models.TextField(blank=True)
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-written"]

    def __str__(self):
        return self.title
