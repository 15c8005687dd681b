#!/usr/bin/env bash
# install.sh [--remove] MODULE PROGRAM RELEASE: puts the module MODULE where `modprobe` of the kernel RELEASE finds it,
# the program, its systemd unit and its user where they belong, and a configuration if there is none. With
# --remove takes away what it put there, but for the configuration. Below DESTDIR, if that is set, files alone.

set -euo pipefail
remove=''
if [ "${1:-}" = --remove ]; then
	remove=yes
	shift
fi
[ "$#" = 3 ] || {
	echo "usage: install.sh [--remove] MODULE PROGRAM RELEASE" >&2
	exit 2
}
module=$1 program=$2 release=$3 root=${DESTDIR:-}
here=$(cd "$(dirname "$0")" && pwd)
[ -n "$root" ] || [ "$(id -u)" = 0 ] || {
	echo "error: $0 needs root to install here; run it with sudo, or set DESTDIR" >&2
	exit 1
}
at_module=$root/lib/modules/$release/updates/underpass.ko
at_program=$root/usr/local/bin/underpass
at_unit=$root/etc/systemd/system/underpass.service
at_user=$root/usr/lib/sysusers.d/underpass.conf
at_config=$root/etc/underpass.toml

# What has to know of the files; DESTDIR is for a package, whose own scripts do that.
tell_system() {
	[ -z "$root" ] || return 0
	depmod "$release"
	if command -v systemd-sysusers >/dev/null && [ -z "$remove" ]; then systemd-sysusers "$at_user"; fi
	# Not in a container or chroot, where no systemd runs.
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

if [ -n "$remove" ]; then
	# A router whose program is gone would go on, and what is enabled would start a later one.
	if [ -z "$root" ] && [ -d /run/systemd/system ] && [ -e "$at_unit" ]; then
		systemctl disable --now underpass.service
	fi
	rm -f "$at_module" "$at_program" "$at_unit" "$at_user"
	tell_system
	exit
fi
if [ ! -f "$module" ] || [ ! -f "$program" ]; then
	echo "error: $module or $program is missing: make module KREL=$release, and cargo build --release" >&2
	exit 1
fi
install -D -m 644 "$module" "$at_module"
# The old one may run: it keeps its file.
install -D -m 755 "$program" "$at_program.new"
mv "$at_program.new" "$at_program"
install -D -m 644 "$here/underpass.service" "$at_unit"
install -D -m 644 "$here/underpass.sysusers" "$at_user"
if [ ! -e "$at_config" ]; then
	install -D -m 644 "$here/../userspace-router/underpass.toml" "$at_config"
fi
tell_system
echo "installed for $release: edit $at_config, then systemctl enable --now underpass"
