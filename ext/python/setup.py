"""Builds the wheel: the portable object of the C build, the sample shop and the package beside them.

The C sources are the checkout that this folder is in, or, in a source distribution, the folder source/. RECOMMEND_SO names an
object that is there already."""
import lzma
import os
import shutil
import subprocess

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py
from wheel.bdist_wheel import bdist_wheel

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("RECOMMEND_SOURCE") or (os.path.join(HERE, "source") if os.path.isdir(os.path.join(HERE, "source")) else os.path.dirname(os.path.dirname(HERE)))

with open(os.path.join(SOURCE, "VERSION")) as file:
    VERSION = file.read().strip()


def built_object():
    """The extension as one file for every distribution: `make portable` (Debian 12; it installs what it misses)."""
    if os.environ.get("RECOMMEND_SO"):
        return os.environ["RECOMMEND_SO"]
    subprocess.run(["make", "--no-print-directory", "-C", SOURCE, "portable"], check=True)
    return os.path.join(SOURCE, "build", "portable", "recommend.so")


def compressed_sample(target):
    """data/online_retail.csv.gz, less than half its size."""
    import gzip
    with gzip.open(os.path.join(SOURCE, "data", "online_retail.csv.gz"), "rb") as source, lzma.open(target, "wb", preset=6) as file:
        shutil.copyfileobj(source, file)


def licences(target):
    """Those of the libraries inside the object, as the distribution states them."""
    inside = ("libopenblas0-pthread", "libfaiss-dev", "libjansson-dev", "libmd-dev", "libsodium-dev", "libutf8proc-dev", "libstdc++-12-dev")
    with open(target, "w", encoding="utf-8") as out, open(os.path.join(SOURCE, "LICENSE"), encoding="utf-8") as own:
        out.write(own.read())
        for package in inside:
            stated = f"/usr/share/doc/{package}/copyright"
            if os.path.exists(stated):
                with open(stated, encoding="utf-8", errors="replace") as file:
                    out.write(f"\n\n{'=' * 20} {package} {'=' * 20}\n\n{file.read()}")
        out.write("\n\nFAISS: MIT, Copyright (c) Facebook, Inc. and its affiliates. The sample shop: CC0 (UCI, Online Retail).\n")


class build(build_py):
    def run(self):
        super().run()
        package = os.path.join(self.build_lib, "sqlite_recommend")
        shutil.copy(built_object(), os.path.join(package, "recommend.so"))
        shutil.copy(os.path.join(SOURCE, "sql", "shop.sql"), package)
        with open(os.path.join(package, "_version.py"), "w") as file:
            file.write(f'VERSION = "{VERSION}"\n')
        compressed_sample(os.path.join(package, "online_retail.csv.xz"))
        licences(os.path.join(package, "LICENSES.txt"))


class wheel(bdist_wheel):
    """One wheel for every Python 3: the object knows none. auditwheel finds out which glibc it needs."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class WithObject(Distribution):
    def has_ext_modules(self):
        return True


setup(version=VERSION, distclass=WithObject, cmdclass={"build_py": build, "bdist_wheel": wheel})
