# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run.
#
# Owns four things: where results are cached, how one is built exactly once, where a
# run keeps what is its own, and how a command runs inside the Debian 13 build root. It
# must not know what any of the results is.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${UNDERPASS_CACHE:-/var/cache/underpass}
export TOP CACHE

# Neither Kbuild nor the mounts of in_root bear them.
case $TOP$CACHE in *[[:space:]:]*)
	printf "error: blanks and colons in '%s' or '%s' are more than Kbuild bears: move the checkout\n" "$TOP" "$CACHE" >&2
	exit 1
	;;
esac

# When the command that a person typed began, for all scripts that it calls.
export UNDERPASS_BEGAN=${UNDERPASS_BEGAN:-$EPOCHSECONDS}

# Progress goes to stderr, so that a script's stdout can be a result.
say() { printf '== [%4ds] %s\n' "$((EPOCHSECONDS - UNDERPASS_BEGAN))" "$*" >&2; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "$0 needs root (it mounts and installs packages); run it with sudo"
}

# key_of FILE|STRING...: a short digest of all arguments; a file counts by its content.
key_of() {
	local a
	for a in "$@"; do
		if [ -f "$a" ]; then cat "$a"; else printf '%s\n' "$a"; fi
	done | sha256sum | cut -c1-12
}

# cached NAME KEY FUNCTION: prints the folder $CACHE/NAME-KEY, made by `FUNCTION folder`
# where it is missing or was left half-made. A lock makes parallel runs wait for
# one builder; the stamp is written last, so that a killed build is built again.
cached() {
	local dir="$CACHE/$1-$2"
	mkdir -p "$CACHE"
	(
		flock 9
		if [ ! -e "$dir/.complete" ]; then
			rm -rf --one-file-system "$dir"
			mkdir -p "$dir"
			# Not in an || list: that would turn errexit off inside the builder.
			set +e
			(
				set -e
				"$3" "$dir"
			) >&2
			failed=$?
			set -e
			[ "$failed" = 0 ] || die "building $dir failed (see above)"
			touch "$dir/.complete"
		fi
	) 9>"$dir.lock"
	# In $(...) errexit is off: what failed above must not give a folder.
	[ -e "$dir/.complete" ] || return 1
	printf '%s\n' "$dir"
}

# uncached FOLDER...: removes what `cached` made, once nobody builds it any more. The stamp goes first, so that
# what is removed by half is not taken for whole. Locks stay: who waits for one must not hold another than who comes later.
uncached() {
	local dir
	for dir in "$@"; do
		[ ! -d "$dir" ] || flock "$dir.lock" rm -rf --one-file-system "$dir/.complete" "$dir"
	done
}

# make_work NAME: makes a folder for this run alone, named by $work, and removes those of runs that were killed:
# their lock is free. Below the cache, because the build root sees it. The caller removes it by a trap on EXIT.
make_work() {
	local lock
	mkdir -p "$CACHE/run"
	{
		# Between its making and its lock no other run must take it for one that was left.
		flock 9
		for lock in "$CACHE"/run/*/.lock; do
			# One that ends just now takes its lock away.
			{ flock --nonblock 8 && rm -rf --one-file-system "${lock%/*}"; } 2>/dev/null 8<"$lock" || :
		done
		work=$(mktemp -d "$CACHE/run/$1-XXXXXX")
		# Held by all that this run starts, too, until the last of it has ended.
		exec {work_lock}>"$work/.lock"
		flock "$work_lock"
	} 9>"$CACHE/run/.lock"
}

# in_root ROOT [-b SOURCE:TARGET]... -- COMMAND...: runs COMMAND in the build root with
# this checkout at its own path. The mounts live in a private namespace and go with it.
in_root() {
	local root=$1 binds=("$TOP:$TOP" "$CACHE:$CACHE")
	shift
	while [ "$1" = -b ]; do
		binds+=("$2")
		shift 2
	done
	[ "$1" = -- ] && shift
	ROOT=$root BINDS=${binds[*]} CWD=${IN_ROOT_CWD:-$TOP} unshare --mount --propagation private \
		bash -euc '
			for b in $BINDS; do
				mkdir -p "$ROOT${b#*:}"
				mount --rbind "${b%%:*}" "$ROOT${b#*:}"
			done
			mount --rbind /proc "$ROOT/proc"
			mount --rbind /sys "$ROOT/sys"
			mount --rbind /dev "$ROOT/dev"
			# Name service and any local certificate set-up of the host hold inside too.
			for f in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
				if [ -e "$f" ] && [ -e "$ROOT$f" ]; then mount --bind "$f" "$ROOT$f"; fi
			done
			exec chroot "$ROOT" /usr/bin/env bash -c "cd \"\$1\" && shift && exec \"\$@\"" in-root "$CWD" "$@"
		' in-root "$@"
}
