"""The image: what the Dockerfile says, what it weighs, and what is in it.

The first stage's base cannot be pulled everywhere: a folder with the static binary takes that stage's place, and what
the stage copies is held to be enough for Cargo.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from expect import Failed, expect, holds
from pod import APP, HOOKWARD, Store

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
TOOLS = Path(sys.prefix) / "bin"
# Bytes: as a registry keeps the image and a node fetches it (its layers compressed), and unpacked.
PACKED, UNPACKED = 6_000_000, 11_000_000
# KiB resident while it waits for its first request: measured at 4,200, and at 6,700 where the linker had no profile/order.txt.
AT_REST = 6 * 1024
APP_FILE = 'FROM scratch\nCOPY app /app\nUSER 65533:65533\nENTRYPOINT ["/app"]\n'


def run(cases, options):
    """Every case; the images are there for the pod then."""
    store = Store(options.work)
    cases.case("hadolint", lint)
    cases.case("the first stage has all that Cargo asks for", lambda: stage(options.work))
    cases.case("the binary is static, and names no place where it was built", lambda: static(options.binary))
    cases.case("what it takes at rest", lambda: at_rest(options))
    cases.case("the image is built", lambda: built(store, options))
    cases.case("its configuration", lambda: configuration(store, options.work))
    cases.case("its files and its size", lambda: content(store, options.work))
    cases.case("the same once more is the same image", lambda: again(store, options))


def lint():
    """Without exceptions."""
    done = subprocess.run([TOOLS / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stdout.strip() + done.stderr.strip())


def stage(work):
    """The COPY lines of the first stage, as far as .dockerignore lets them through."""
    folder = work / "stage"
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    first = DOCKERFILE.read_text().partition("FROM scratch")[0]
    for line in first.splitlines():
        if not line.startswith("COPY "):
            continue
        *sources, target = line.split()[1:]
        for source in sources:
            holds(f".dockerignore lets {source} through", source in kept)
            to = folder / target / Path(source).name if target.endswith("/") else folder / target
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns(".venv", "target"))
            else:
                shutil.copy(ROOT / source, to)
    command = ["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    for script in ("deploy/build-static", "profile/rustc"):
        holds(f"{script} can be run", os.access(folder / script, os.X_OK))
    # Without the one the compiler would stop; without the other it would build, but another binary.
    for file in ("hookward.profdata", "order.txt"):
        holds(f"profile/{file} is there", (folder / "profile" / file).is_file())


def static(binary):
    """No interpreter among its segments (ELF-64, little-endian: elf(5)), and no path of this machine."""
    data = binary.read_bytes()
    expect("the file's magic", data[:6], b"\x7fELF\x02\x01")
    at, size, count = (int.from_bytes(data[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = [int.from_bytes(data[at + n * size : at + n * size + 4], "little") for n in range(count)]
    holds("no interpreter is asked for", 3 not in kinds)
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    for place in (str(ROOT), home):
        holds(f"{place} is not in the binary", place.encode() not in data)
    return f"{len(data):,} bytes"


def at_rest(options):
    """Memory of a server that nobody has asked anything yet."""
    config = options.work / "rest.toml"
    config.write_text('[server]\nlisten = "127.0.0.1:0"\n[routes.clerk]\npath = "/hook"\nprovider = "clerk"\n')
    environment = {**os.environ, "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + "c2VjcmV0" * 4}
    command = [options.binary, "run", "--config", config]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            holds("it starts", any('"message":"ready"' in line for line in server.stdout))
            status = Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.send_signal(signal.SIGTERM)
            server.stdout.read()
    resident = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
    holds(f"{resident:,} KiB are at most {AT_REST:,}", resident <= AT_REST)
    return f"{resident:,} KiB resident (at most {AT_REST:,})"


def built(store, options):
    """With the binary in the first stage's place."""
    out = options.work / "context/out"
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(options.binary, out / "hookward")
    (out / "hookward").chmod(0o555)
    context = ["--build-context", f"build={options.work}/context", "--build-arg", "REVISION=tested", "-f", DOCKERFILE]
    store.build(HOOKWARD, ROOT, *context)
    (options.work / "appcontext").mkdir(exist_ok=True)
    shutil.copy(options.work / "app", options.work / "appcontext/app")
    (options.work / "appcontext/Dockerfile").write_text(APP_FILE)
    store.build(APP, options.work / "appcontext")


def again(store, options):
    """The same layer. Beside it the format names the container that it was made in, which is never the same."""
    before = json.loads(store.podman("image", "inspect", HOOKWARD))[0]["RootFS"]
    time.sleep(1.1)
    built(store, options)
    expect("the layers", json.loads(store.podman("image", "inspect", HOOKWARD))[0]["RootFS"], before)


def saved(store, work):
    """The image as an archive: its configuration, its layers' files, its size."""
    archive = work / "image.tar"
    archive.unlink(missing_ok=True)
    store.podman("save", "--quiet", "--format", "docker-archive", "--output", archive, HOOKWARD)
    files = []
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))
        config = json.load(outer.extractfile(manifest["Config"]))["config"]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                files += [
                    (member.name, oct(member.mode & 0o7777), member.uid) for member in inner if not member.isdir()
                ]
    return config, files, archive.stat().st_size


def configuration(store, work):
    """User, command, health check, labels."""
    config, _, _ = saved(store, work)
    expect("User", config["User"], "65532:65532")
    expect("Entrypoint", config["Entrypoint"], ["/hookward"])
    expect("Cmd", config["Cmd"], ["run"])
    expect("HEALTHCHECK", config["Healthcheck"]["Test"], ["CMD", "/hookward", "healthcheck"])
    version = next(
        line.split('"')[1] for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version")
    )
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items() if "opencontainers" in name}
    expect("the version's label", labels["version"], version)
    expect("the revision's label", labels["revision"], "tested")
    for name in ("title", "description", "licenses"):
        holds(f"the label {name} says something", labels[name])


def packed(store, work):
    """The image's size with its layers compressed, which is how registries count it."""
    archive = work / "packed.tar"
    archive.unlink(missing_ok=True)
    store.podman("save", "--quiet", "--format", "oci-archive", "--output", archive, HOOKWARD)
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(outer.extractfile("index.json"))["manifests"]
        manifest = json.load(outer.extractfile(f"blobs/{manifest['digest'].replace(':', '/')}"))
    for layer in manifest["layers"]:
        expect("a layer's type", layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip")
    return sum(blob["size"] for blob in (manifest["config"], *manifest["layers"]))


def content(store, work):
    """One file, and what it weighs."""
    _, files, unpacked = saved(store, work)
    expect("its files", files, [("hookward", "0o555", 0)])
    sizes = [("packed", packed(store, work), PACKED), ("unpacked", unpacked, UNPACKED)]
    for name, size, most in sizes:
        if size > most:
            raise Failed(f"{name} {size:,} bytes, above {most:,}")
    return ", ".join(f"{name} {size:,} bytes (at most {most:,})" for name, size, most in sizes)
