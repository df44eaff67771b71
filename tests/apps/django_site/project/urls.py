from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.index),
    path("upload/", views.upload),
    path("download/", views.download),
    path("stream/", views.stream),
    path("fails/", views.fails),
]
