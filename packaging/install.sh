#!/usr/bin/env bash
# install.sh MODULE PROGRAM RELEASE: puts the module MODULE where `modprobe` of the kernel RELEASE finds it, the program,
# its systemd unit, its user and the module's options where they belong, and a configuration if there is none.
# install.sh --remove: removes that again, the module of every kernel, but not the configuration, nor the user, who may
# own files.
# From the environment, for both:
#
#   PREFIX     the program goes to its bin, /usr/local by default. With /usr, as in a package, unit and module go below
#              /usr, too
#   DESTDIR    a folder that stands for /, and gets only the files: the rest is for a package's own scripts

set -euo pipefail
remove=''
if [ "$*" = --remove ]; then
	remove=yes
elif [ "$#" = 3 ]; then
	module=$1 program=$2 release=$3
else
	echo "usage: install.sh MODULE PROGRAM RELEASE, or install.sh --remove" >&2
	exit 2
fi
root=${DESTDIR:-} prefix=${PREFIX:-/usr/local}
here=$(cd "$(dirname "$0")" && pwd)
[ -n "$root" ] || [ "$(id -u)" = 0 ] || {
	echo "error: $0 needs root to install here; run it with sudo, or set DESTDIR" >&2
	exit 1
}
case $prefix in
/usr) modules=$root/usr/lib/modules units=$root/usr/lib/systemd/system ;;
*) modules=$root/lib/modules units=$root/etc/systemd/system ;;
esac
at_program=$root$prefix/bin/underpass
at_unit=$units/underpass.service
at_user=$root/usr/lib/sysusers.d/underpass.conf
at_options=$root/usr/lib/modprobe.d/underpass.conf
at_config=$root/etc/underpass.toml

# Not in a container or chroot, where no systemd runs.
systemd_here() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

if [ -n "$remove" ]; then
	# A router whose program is gone would go on, and what is enabled would start a later one.
	if systemd_here && [ -e "$at_unit" ]; then systemctl disable --now underpass.service; fi
	for file in "$modules"/*/updates/underpass.ko; do
		[ -e "$file" ] || continue
		of=${file%/updates/*}
		rm "$file"
		# Of a kernel that was removed there may be nothing else.
		rmdir --ignore-fail-on-non-empty "$of/updates" "$of"
		if [ -z "$root" ] && [ -d "$of" ]; then depmod "${of##*/}"; fi
	done
	rm -f "$at_program" "$at_unit" "$at_user" "$at_options"
	if systemd_here; then systemctl daemon-reload; fi
	if [ -z "$root" ] && [ -d /sys/module/underpass ]; then
		echo "the module is still loaded: \`rmmod underpass\` once no connection uses it (it says \"in use\" until then)"
	fi
	exit
fi
if [ ! -f "$module" ] || [ ! -f "$program" ]; then
	echo "error: $module or $program is missing: make module KREL=$release, and cargo build --release" >&2
	exit 1
fi
install -D -m 644 "$module" "$modules/$release/updates/underpass.ko"
# The old one may run: it keeps its file.
install -D -m 755 "$program" "$at_program.new"
mv "$at_program.new" "$at_program"
install -D -m 644 "$here/underpass.service" "$at_unit"
sed -i "s|/usr/local/bin/|$prefix/bin/|" "$at_unit"
install -D -m 644 "$here/underpass.sysusers" "$at_user"
install -D -m 644 "$here/underpass.modprobe" "$at_options"
if [ ! -e "$at_config" ]; then
	install -D -m 644 "$here/../userspace-router/underpass.toml" "$at_config"
fi
if [ -z "$root" ]; then
	depmod "$release"
	if command -v systemd-sysusers >/dev/null; then systemd-sysusers "$at_user"; fi
fi
if systemd_here; then systemctl daemon-reload; fi
echo "installed for $release: edit $at_config, then systemctl enable --now underpass"
