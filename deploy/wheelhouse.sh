#!/bin/sh
# Makes the kit: a folder that install.sh installs from without a network, on another machine than this one.
#
#   sh deploy/wheelhouse.sh PYTHON FOLDER ARCHITECTURE VERSION...
#
#   PYTHON         a Python with pip, of any version from 3.11 on
#   FOLDER         is made, or refreshed: the files of deploy/raspberry-pi, and wheels/
#   ARCHITECTURE   aarch64 or x86_64
#   VERSION        of the device's Python: 3.11 (Debian bookworm), 3.12 (Ubuntu 24.04), 3.13 (Debian trixie)
set -eu

[ $# -ge 4 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=$1 folder=$2 architecture=$3
shift 3

rm -rf "$folder"
mkdir -p "$folder/wheels"
cp "$here"/raspberry-pi/* "$folder"
# What an earlier build left would go into the wheel: modules that are gone since.
rm -rf "$here/../build/lib" "$here"/../build/bdist.*
"$python" -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir "$folder/wheels" "$here/.."
rm -rf "$here/../build/lib" "$here"/../build/bdist.*
wheel=$(echo "$folder"/wheels/cxr_edge-*.whl)
# Debian bookworm, the oldest system, has glibc 2.36; pip takes the names of older ones one by one.
platforms=$(for minor in 36 35 34 31 28 27 17; do echo "--platform manylinux_2_${minor}_$architecture"; done)
# Versions are those that the tests run with. Where a requirement depends on the Python's version, pip
# goes by the one that runs here.
for version in "$@"; do
  # shellcheck disable=SC2086 # a list of options
  "$python" -m pip download --disable-pip-version-check --quiet --only-binary=:all: \
    --constraint "$here/../constraints.txt" --dest "$folder/wheels" --implementation cp --python-version "$version" \
    $platforms --platform "manylinux2014_$architecture" "${wheel}[device]"
done
du -sh "$folder"
