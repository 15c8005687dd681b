#!/usr/bin/env bash
# boot.sh stock|debug [options] [--] COMMAND...: boots a guest with that kernel under QEMU
# (no KVM needed), runs COMMAND in it as root, passes on its output and its exit code.
#
#   --add FILE[:NAME]  FILE or folder appears in the guest as /payload/NAME
#   --project          adds this project, built for that kernel (payload.sh lists it)
#   --memory MB        default 1024 (debug: 2048); all files of the guest live in it
#   --time SECONDS     hard limit for the whole guest, default 300
#   --forward P:Q      the host's 127.0.0.1:P leads to the guest's port Q
#   --icount N         one vCPU that counts instructions (QEMU's shift=N): repeatable figures
#   --cpus N           vCPUs, default 2
#   --plugin FILE,...  a plugin of QEMU, and what it is told
#   --console FILE     where the kernel's console goes, default a temporary file that is
#                      kept, and named, on failure only
#   --interactive      COMMAND gets this terminal
#
# COMMAND is run as it is, without a shell: use `bash -c '...'` for more than one.
# Exit code 125 means that the guest did not come to its end (see the console).

. "$(dirname "$0")/lib.sh"
need_root

here=$(cd "$(dirname "$0")" && pwd)
flavour=${1:-}
case $flavour in
stock) memory=1024 ;;
debug) memory=2048 ;;
*) die "usage: boot.sh stock|debug [options] [--] COMMAND... (not '$flavour')" ;;
esac
shift

adds=() project='' seconds=300 forward='' cpus=2 icount='' plugin='' console='' interactive=''
while [ $# -gt 0 ]; do
	case $1 in
	--add) adds+=("$2") && shift 2 ;;
	--project) project=yes && shift ;;
	--memory) memory=$2 && shift 2 ;;
	--time) seconds=$2 && shift 2 ;;
	--forward) forward=$2 && shift 2 ;;
	--cpus) cpus=$2 && shift 2 ;;
	--icount) icount=$2 && shift 2 ;;
	--plugin) plugin=$2 && shift 2 ;;
	--console) console=$2 && shift 2 ;;
	--interactive) interactive=yes && shift ;;
	--)
		shift
		break
		;;
	-*) die "boot.sh does not know the option '$1'; the head of $0 lists them" ;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || die "boot.sh got no command to run in the guest"

"$here/host-deps.sh"
build_root=$("$here/buildroot.sh")
kernel=$("$here/kernel.sh" "$flavour")
guest=$("$here/guest-root.sh")

if [ -n "$project" ]; then
	# Not by a process substitution, which would lose the exit code.
	project=$("$here/payload.sh" "$flavour")
	mapfile -t -O "${#adds[@]}" adds <<<"$project"
fi

make_work boot
trap 'rm -rf "$work"' EXIT

payload=$work/payload
mkdir "$payload"
install -m 755 "$here/guest-main.sh" "$payload/guest-main.sh"
{
	echo '#!/bin/bash'
	printf 'exec'
	printf ' %q' "$@"
	echo
} >"$payload/command"
chmod +x "$payload/command"
[ -z "$forward" ] || touch "$payload/network"
[ -z "$interactive" ] || touch "$payload/interactive"
for a in "${adds[@]}"; do
	file=${a%%:*} name=${a#*:}
	[ "$name" != "$a" ] || name=$(basename "$file")
	[ -e "$file" ] || die "--add: there is no '$file'"
	mkdir -p "$(dirname "$payload/$name")"
	cp -rL "$file" "$payload/$name"
done
in_root "$build_root" -- mksquashfs "$payload" "$work/payload.squashfs" \
	-comp zstd -Xcompression-level 3 -quiet -no-progress >&2
truncate -s 4096 "$work/result"

disk() { # FILE SERIAL READ-ONLY
	qemu+=(-drive "if=none,id=$2,format=raw,file=$1,readonly=$3" -device "virtio-blk-pci,drive=$2,serial=$2")
}
# q35, because the debug kernel takes minutes over the ACPI code of the older machine.
parameters="console=ttyS0 panic=-1 loglevel=5 oops=panic maxcpus=1"
# Without this the debug kernel's CONFIG_PAGE_POISONING does nothing.
[ "$flavour" != debug ] || parameters+=" page_poison=1"
qemu=(qemu-system-x86_64 -M q35 -nodefaults -no-user-config -display none -no-reboot
	-m "$memory" -kernel "$kernel/vmlinuz" -initrd "$guest/initramfs.cpio"
	-append "$parameters")
if [ -n "$icount" ]; then
	qemu+=(-accel tcg -cpu "Nehalem,+rdrand" -smp 1 -icount "shift=$icount")
else
	qemu+=(-accel "tcg,thread=multi" -cpu "Nehalem,+rdrand" -smp "$cpus")
fi
[ -z "$plugin" ] || qemu+=(-plugin "$plugin")
disk "$guest/root.squashfs" root on
disk "$work/payload.squashfs" payload on
disk "$work/result" result off
[ -z "$forward" ] || qemu+=(-nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:${forward%%:*}-:${forward#*:}")

log=${console:-$work/console.log}
killed=0
# Who ends this script ends the guest, too.
setpriv --pdeathsig TERM -- "$here/supervise.py" --console "$log" --time "$seconds" ${interactive:+--interactive} -- "${qemu[@]}" || killed=$?
code=$(sed -n 's/^exit \([0-9]*\)$/\1/p' <(tr -d '\0' <"$work/result"))
if [ -n "$code" ] && [ "$killed" = 0 ]; then
	exit "$code"
fi
# Somebody ended it on purpose.
case $killed in 130 | 143) exit "$killed" ;; esac
if [ -z "$console" ]; then
	log=$(mktemp "$CACHE/run/console-XXXXXX.log")
	cp "$work/console.log" "$log"
fi
echo "error: the guest gave no exit code; the end of its console ($log):" >&2
tail -n 30 "$log" >&2
exit 125
