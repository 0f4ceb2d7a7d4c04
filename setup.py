"""Finds the packages, of which two are named otherwise than their folders."""

from setuptools import find_packages, setup

FOLDERS = {"cxr_edge": "cxr_edge", "cxr_edge.export": "export", "cxr_edge.train": "train"}

setup(
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{inner}" for inner in find_packages(folder)))
    ],
    package_dir={name: folder for name, folder in FOLDERS.items() if name != folder},
)
