#!/bin/sh
# Installs or updates cxr-edge and its service on 64-bit Raspberry Pi OS (bookworm or trixie), or on
# an x86-64 PC with Debian or Ubuntu.
#
#   sudo sh install.sh                      with the wheels in wheels/ beside this file, else from an index
#
#   --wheelhouse DIR   install from the wheels of a folder, without a network
#   --wheel FILE       the wheel of cxr-edge; else the newest one in the wheelhouse
#   --bundle DIR       the bundle to serve; else the reference model, unless one is installed already
#   --user NAME        the service's user; made if need be (cxr-edge)
#   --root DIR         install below DIR, make no user and start nothing: for tests and images of cards
#   --no-start         do not start the service
#
# Each installation is a folder of its own, and /opt/cxr-edge a link to it that is changed in one
# step when everything has passed: a power cut leaves the old installation or the new one.
set -eu
umask 022

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
wheelhouse='' wheel='' bundle='' user=cxr-edge root='' start=yes
needed_mb=600

say() { printf 'install.sh: %s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --wheelhouse | --wheel | --bundle | --user | --root)
      [ -n "${2:-}" ] || fail "$1 needs a value"
      case $1 in
        --wheelhouse) wheelhouse=$2 ;;
        --wheel) wheel=$2 ;;
        --bundle) bundle=$2 ;;
        --user) user=$2 ;;
        --root) root=$(CDPATH='' cd -- "$2" && pwd) || fail "$2: no such folder" ;;
      esac
      shift 2
      ;;
    --no-start) start=no && shift ;;
    -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
done

releases=$root/opt/cxr-edge-releases
program=$root/opt/cxr-edge
config=$root/etc/cxr-edge
state=$root/var/lib/cxr-edge
units=$root/etc/systemd

# --- what must hold before anything is changed

if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || fail "needs root; run: sudo sh $0"
  [ -d /run/systemd/system ] || fail "systemd does not run here; it starts and watches the service"
fi
# A 64-bit kernel under 32-bit programs is what 32-bit Raspberry Pi OS has on a Pi 4 or 5.
[ "$(getconf LONG_BIT)" = 64 ] ||
  fail "this system is 32-bit, for which there are no engines; install Raspberry Pi OS (64-bit)"
machine=$(uname -m)
case $machine in
  aarch64 | arm64) ;;
  x86_64) say "installing on an x86-64 PC; its log and its watchdog stay as they are" ;;
  *) fail "the processor is $machine, expected aarch64 (a 64-bit Raspberry Pi) or x86_64 (a PC)" ;;
esac
command -v python3 > /dev/null || fail "python3 is missing; run: sudo apt install python3-venv"
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
  3.11 | 3.12 | 3.13) ;;
  *) fail "python3 is $version, expected 3.11 to 3.13 (Debian or Raspberry Pi OS bookworm or trixie, Ubuntu 24.04)" ;;
esac
python3 -c 'import ensurepip, venv' 2> /dev/null ||
  fail "python3 cannot make environments; run: sudo apt install python3-venv"

if [ -z "$wheelhouse" ] && [ -d "$here/wheels" ]; then wheelhouse=$here/wheels; fi
if [ -n "$wheelhouse" ]; then
  [ -d "$wheelhouse" ] || fail "$wheelhouse: no such folder, expected one that 'make wheelhouse' made"
  wheelhouse=$(CDPATH='' cd -- "$wheelhouse" && pwd)
  tag=cp$(printf '%s' "$version" | tr -d .)
  set -- "$wheelhouse"/numpy-*-"$tag"-*"$machine".whl
  [ -e "$1" ] ||
    fail "$wheelhouse: no wheels for Python $version on $machine; run: make wheelhouse ARCHITECTURE=$machine DEVICE_PYTHON=$version"
fi
if [ -z "$wheel" ]; then
  for wheel in "${wheelhouse:-$here}"/cxr_edge-*.whl; do :; done
fi
[ -f "$wheel" ] || fail "$wheel: no such wheel; 'make wheelhouse' makes one, --wheel FILE names one"
wheel=$(CDPATH='' cd -- "$(dirname -- "$wheel")" && pwd)/$(basename -- "$wheel")
if [ -n "$bundle" ]; then
  [ -f "$bundle/manifest.json" ] ||
    fail "$bundle: no bundle here; name the folder that 'cxr-edge export' wrote"
  bundle=$(CDPATH='' cd -- "$bundle" && pwd)
fi

for place in "$root/opt" "$root/var/lib"; do
  while [ ! -d "$place" ]; do place=$(dirname -- "$place"); done
  free_mb=$(df -Pm "$place" | awk 'NR == 2 { print $4 }')
  [ "$free_mb" -ge "$needed_mb" ] || fail "$place: $free_mb MB free, $needed_mb are needed; free some"
done
if [ -n "$root" ] && ! id -u "$user" > /dev/null 2>&1; then
  fail "there is no user $user here, and --root makes none; make it, or give --user NAME"
fi

cd / # a home may be closed to the service's user

# --- from here on files are written; what fails before the link changes is removed again

as_user() {
  if [ "$(id -un)" = "$user" ]; then
    env -i PATH="$PATH" HOME="$state" "$@"
  else
    runuser -u "$user" -- env -i PATH="$PATH" HOME="$state" "$@"
  fi
}

if ! id -u "$user" > /dev/null 2>&1; then
  useradd --system --user-group --home-dir /var/lib/cxr-edge --no-create-home \
    --shell /usr/sbin/nologin "$user"
  say "made the user $user"
fi
group=$(id -gn "$user")

number=1
while [ -e "$releases/$number" ]; do number=$((number + 1)); done
release=$releases/$number
done=no
forget_release() { [ "$done" = yes ] || rm -rf "$release"; }
trap forget_release EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "installing $(basename -- "$wheel") into $release"
mkdir -p "$releases"
python3 -m venv "$release"
set -- --disable-pip-version-check --no-input --quiet --no-cache-dir --only-binary=:all:
if [ -n "$wheelhouse" ]; then set -- "$@" --no-index --find-links "$wheelhouse"; fi
"$release/bin/python" -m pip install "$@" "${wheel}[device]"
"$release/bin/cxr-edge" --version > /dev/null

install -d -m 0755 "$config"
"$release/bin/cxr-edge" serve --sample-config > "$config/cxr-edge.toml.sample"
if [ ! -e "$config/cxr-edge.toml" ]; then
  install -m 0640 -g "$group" "$config/cxr-edge.toml.sample" "$config/cxr-edge.toml"
  sed -i 's|^# *bundle = ""|bundle = "/var/lib/cxr-edge/bundles/current"|' "$config/cxr-edge.toml"
fi
install -d -m 0750 -o "$user" -g "$group" "$state"
install -d -m 0755 -o "$user" -g "$group" "$state/bundles"
# Members of the group put images here; the service moves them on.
install -d -m 2770 -o "$user" -g "$group" "$state/inbox"

if [ ! -L "$state/bundles/current" ]; then
  say "checking on this device that the models make the original's decisions, and installing them"
  reference='from cxr_edge.bundle.bundled import REFERENCE; print(REFERENCE)'
  "$release/bin/cxr-edge" bundle install "${bundle:-$("$release/bin/python" -c "$reference")}" \
    --into "$state/bundles"
  bundle=''
fi
say "checking them as the user $user"
as_user "$release/bin/cxr-edge" verify "$state/bundles/current" > /dev/null
tune() {
  say "measuring which model file is fastest here"
  as_user "$1/bin/cxr-edge" tune "$state/bundles/current" > /dev/null ||
    say "nothing was tuned: the service runs the first model file that fits"
}
tune "$release"

# --- the change

previous=$(readlink "$program" || true)
point_to() {
  ln -sfn "$1" "$program.new"
  mv -T "$program.new" "$program"
}
if [ -e "$program" ] && [ ! -L "$program" ]; then
  fail "$program: is a folder, expected the link that this script makes; move it away"
fi
sync
point_to "cxr-edge-releases/$number"
done=yes

install_file() {
  install -d -m 0755 "$(dirname -- "$2")"
  install -m 0644 "$here/$1" "$2"
}
install_file cxr-edge.service "$units/system/cxr-edge.service"
if [ "$machine" != x86_64 ]; then # a PC's log and watchdog serve other programs too
  install_file journald.conf "$units/journald.conf.d/cxr-edge.conf"
  install_file watchdog.conf "$units/system.conf.d/cxr-edge-watchdog.conf"
fi
if [ ! -e "$units/system/cxr-edge.service.d/lan.conf" ]; then
  install_file lan.conf "$units/system/cxr-edge.service.d/lan.conf"
fi
if [ "$user" != cxr-edge ]; then
  sed -i "s/^User=.*/User=$user/; s/^Group=.*/Group=$group/" "$units/system/cxr-edge.service"
fi

# On everybody's PATH, sudo's too.
if [ ! -e "$root/usr/local/bin/cxr-edge" ]; then
  install -d -m 0755 "$root/usr/local/bin"
  ln -sfn /opt/cxr-edge/bin/cxr-edge "$root/usr/local/bin/cxr-edge"
fi

started=no
if [ "$start" = yes ] && [ -z "$root" ]; then
  systemctl daemon-reload
  if [ "$machine" != x86_64 ]; then systemctl try-restart systemd-journald; fi
  systemctl enable --quiet cxr-edge
fi
if [ "$start" = yes ] && [ -z "$root" ]; then
  if systemctl restart cxr-edge; then
    started=yes
  else
    if [ -n "$previous" ]; then
      point_to "$previous"
      systemctl restart cxr-edge || true
      rm -rf "$release"
      fail "the new version did not start, $previous is in place again; see: journalctl -u cxr-edge"
    fi
    fail "the service did not start; see: journalctl -u cxr-edge"
  fi
fi
if [ -n "$bundle" ]; then # the new program serves the old bundle already, and can go back to it
  "$program/bin/cxr-edge" bundle install "$bundle" --into "$state/bundles"
  tune "$program"
  if [ "$started" = yes ]; then systemctl reload cxr-edge; fi
fi
for old in "$releases"/*; do
  [ "$old" = "$release" ] || [ "$old" = "$root/opt/$previous" ] || rm -rf "$old"
done

if [ -z "$root" ] && [ "$machine" != x86_64 ] && ! grep -qw memory /sys/fs/cgroup/cgroup.controllers 2> /dev/null; then
  say "the memory limit has no effect yet: add cgroup_enable=memory to /boot/firmware/cmdline.txt and restart"
fi
say "done; images go into $state/inbox"
if [ "$started" = yes ]; then say "the service runs; its page is http://127.0.0.1:8631"; fi
