"""Pages that go through the parts of the module that a plain page does not use."""
import zlib

from django.conf import settings
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from .models import Item


def index(request):
    names = Item.objects.order_by("id").values_list("name", flat=True)
    return HttpResponse("items: %s\n" % ", ".join(names), content_type="text/plain")


@csrf_exempt
def upload(request):
    checksum, size = 1, 0
    for block in request.FILES["file"].chunks():
        checksum = zlib.adler32(block, checksum)
        size += len(block)
    return HttpResponse("%d %d\n" % (size, checksum), content_type="text/plain")


def download(request):
    return FileResponse(open(settings.DATA / "large", "rb"), content_type="application/octet-stream")


def stream(request):
    return StreamingHttpResponse(("line %d\n" % number for number in range(5000)), content_type="text/plain")


def fails(request):
    raise ValueError("raised by a view")
