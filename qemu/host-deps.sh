#!/usr/bin/env bash
# Installs what the host itself needs: QEMU, mmdebstrap and a few small tools.
# Everything else lives in the build root. Debian 12 and 13.

. "$(dirname "$0")/lib.sh"
need_root

PACKAGES=(mmdebstrap qemu-system-x86 debian-archive-keyring curl git python3 util-linux xz-utils)

missing=()
for p in "${PACKAGES[@]}"; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$p")
done
[ "${#missing[@]}" = 0 ] && exit 0
command -v apt-get >/dev/null || die "needs the packages ${missing[*]}, and this is no Debian to install them on"
say "host: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >&2
apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
