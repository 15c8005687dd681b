# shellcheck shell=bash
# Shared by the commands of this folder; sourced behind payload.sh, never run. Where SAVE is set, results are kept in
# bench/results/, by the day's date: the tables, with commit and command; the plots; and all figures. What SAVE says stands behind the
# date, for several a day, if it is not 1.

results=$TOP/bench/results save_from='' save_to='' save_title='' save_commit=''

# save_begins forwarding|growth|profile: refuses, before hours of measuring, what could not be kept.
save_begins() {
	[ -n "${SAVE:-}" ] || return 0
	local day
	day=$(date --utc +%F)
	case $1 in
	forwarding) save_from=latest save_to=$day save_title="What forwarding cost on $day" ;;
	growth) save_from=growth save_to=$day-growth save_title="How cost, memory and speed grew on $day" ;;
	profile) save_from=profile save_to=$day-profile save_title="Where the instructions went on $day" ;;
	*) die "save.sh does not know what '$1' is" ;;
	esac
	case $SAVE in
	1) ;;
	*[!A-Za-z0-9-]*) die "SAVE is 1, or a name of letters, digits and hyphens (not '$SAVE')" ;;
	*) save_to+=-$SAVE ;;
	esac
	[ ! -e "$results/$save_to.md" ] || die "bench/results/$save_to.md is there already: SAVE=NAME makes it $save_to-NAME"
	# Of what is built now. A figure of uncommitted code would be nobody's.
	save_commit=$(git -c safe.directory="$TOP" -C "$TOP" describe --always --dirty --exclude='*')
	case $save_commit in
	*-dirty) die "commit first: results name the commit that they were measured at ($save_commit)" ;;
	esac
}

# save COMMAND: keeps what COMMAND, for which save_begins was called, left in build/bench/.
save() {
	[ -n "${SAVE:-}" ] || return 0
	local out=$TOP/build/bench release version plot kept
	release=$(cat "$("$TOP/qemu/kernel.sh" stock)/release")
	version=$(qemu-system-x86_64 --version | sed -n '1s/^QEMU emulator version \([^ ]*\).*/QEMU \1/p')
	mkdir -p "$results"
	{
		echo "# $save_title"
		echo
		echo "Commit $save_commit, kernel $release, $version. By \`$1\`."
		echo "[How it is measured](../README.md)."
		for plot in "$out/$save_from"*.svg; do
			[ -e "$plot" ] || continue
			kept=$save_to${plot#"$out/$save_from"}
			cp "$plot" "$results/$kept"
			printf '\n![%s](%s)\n' "$save_title" "$kept"
		done
		cat "$out/$save_from.md"
	} >"$results/$save_to.md"
	# A profile's counts by address are of use with its own programs alone.
	[ ! -e "$out/$save_from.jsonl" ] || cp "$out/$save_from.jsonl" "$results/$save_to.jsonl"
	say "saved as bench/results/$save_to.md"
}
