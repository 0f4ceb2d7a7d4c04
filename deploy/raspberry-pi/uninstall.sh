#!/bin/sh
# Removes cxr-edge and its service. Images, results, bundles and the configuration stay.
#
#   sudo sh uninstall.sh
#
#   --purge      remove those too, and the user
#   --user NAME  the service's user (cxr-edge)
#   --root DIR   what install.sh --root DIR installed
set -eu

purge=no user=cxr-edge root=''

fail() {
  printf 'uninstall.sh: %s\n' "$*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --purge) purge=yes && shift ;;
    --user | --root)
      [ -n "${2:-}" ] || fail "$1 needs a value"
      case $1 in
        --user) user=$2 ;;
        --root) root=$(CDPATH='' cd -- "$2" && pwd) || fail "$2: no such folder" ;;
      esac
      shift 2
      ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
done

if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || fail "needs root; run: sudo sh $0"
  systemctl disable --now --quiet cxr-edge 2> /dev/null || true
fi

units=$root/etc/systemd
rm -f "$units/system/cxr-edge.service" "$units/journald.conf.d/cxr-edge.conf" \
  "$units/system.conf.d/cxr-edge-watchdog.conf"
rm -rf "$root/opt/cxr-edge-releases"
if [ -L "$root/opt/cxr-edge" ]; then rm -f "$root/opt/cxr-edge"; fi
if [ "$(readlink "$root/usr/local/bin/cxr-edge")" = /opt/cxr-edge/bin/cxr-edge ]; then
  rm -f "$root/usr/local/bin/cxr-edge"
fi

if [ "$purge" = yes ]; then
  rm -rf "$units/system/cxr-edge.service.d" "$root/etc/cxr-edge" "$root/var/lib/cxr-edge"
  if [ -z "$root" ] && id -u "$user" > /dev/null 2>&1; then userdel "$user"; fi
  printf 'uninstall.sh: removed, with all data\n'
else
  printf 'uninstall.sh: removed; kept: %s\n' "$root/etc/cxr-edge $root/var/lib/cxr-edge"
fi
if [ -z "$root" ]; then
  systemctl daemon-reload
  systemctl try-restart systemd-journald
fi
