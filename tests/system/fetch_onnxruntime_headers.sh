#!/bin/sh
# Unpacks the C++ headers of ONNX Runtime from Debian 13's libonnxruntime-dev into a folder:
#
#     fetch_onnxruntime_headers.sh FOLDER
#
# For Debian 12, which has no such package; nothing is installed. Python wheels have no headers.
set -eu

folder=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] ${mirror:?apt knows no Debian archive} trixie main" > "$work/sources.list"

apt() {
    apt-get -qq -oDir::Etc::sourcelist="$work/sources.list" -oDir::Etc::sourceparts=/dev/null \
        -oDir::State::Lists="$work/lists" -oDir::Cache="$work/cache" -oDebug::NoLocking=1 \
        -oAPT::Sandbox::User="$(id -un)" "$@"
}

apt update
(cd "$work" && apt download libonnxruntime-dev && dpkg -x libonnxruntime-dev_*.deb root)
mkdir -p "$folder"
cp "$work"/root/usr/include/onnxruntime/*.h "$folder"
