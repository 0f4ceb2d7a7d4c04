"""Finds the packages, of which two are named otherwise than their folders."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

FOLDERS = {"cxr_edge": "cxr_edge", "cxr_edge.export": "export", "cxr_edge.train": "train"}


class SourceDistribution(sdist):
    """Files with the same permissions whatever the umask was: Python 3.11.2 unpacks them as is."""

    def make_release_tree(self, base_dir, files):
        """Copy the files, and set their permissions."""
        super().make_release_tree(base_dir, files)
        for path in Path(base_dir).rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


setup(
    cmdclass={"sdist": SourceDistribution},
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{inner}" for inner in find_packages(folder)))
    ],
    package_dir={name: folder for name, folder in FOLDERS.items() if name != folder},
)
