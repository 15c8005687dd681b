#!/usr/bin/env bash
# module.sh stock|debug [--clippy]: builds the module for that kernel and prints the path
# of its underpass.ko. With --clippy every warning of rustc and clippy is an error.

. "$(dirname "$0")/lib.sh"
need_root

here=$(cd "$(dirname "$0")" && pwd)
flavour=${1:-}
root=$("$here/buildroot.sh")
kernel=$("$here/kernel.sh" "$flavour")
case $flavour in
stock) arguments=(CC=gcc-14 LOCALVERSION= KERNELRELEASE="$(cat "$kernel/release")") ;;
debug) arguments=(LLVM=-19 LOCALVERSION=-debug) ;;
esac
folder=$TOP/build/$flavour
if [ "${2:-}" = --clippy ]; then
	folder+=-clippy
	arguments+=(CLIPPY=1 KRUSTFLAGS=-Dwarnings KCFLAGS=-Werror)
fi
in_root "$root" -- "$here/build-module.sh" "$kernel/tree" "$folder" "${arguments[@]}"
printf '%s\n' "$folder/underpass.ko"
