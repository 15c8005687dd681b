#!/usr/bin/env bash
# run.sh [--keep]: the main job once, in the open. Boots the stock kernel with module, router
# and three back-ends, uploads a random file from this host through a forwarded
# port, downloads it again and compares. With --keep it stays up to be tried by hand.

. "$(dirname "$0")/lib.sh"
need_root

here=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in
--keep) keep=yes seconds=86400 ;;
'') keep='' seconds=900 ;;
*) die "usage: run.sh [--keep] (not '$1')" ;;
esac
size=$((256 << 20))

"$here/host-deps.sh"
# 512 MiB: more than a /tmp in memory may have.
make_work upload
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port

say "building, and booting the stock kernel"
exec 3< <("$here/boot.sh" stock --project --memory 2048 --time "$seconds" --forward "$port:8080" \
	--add "$here/run-guest.py" -- python3 -u /payload/run-guest.py)
guest=$!
stop() {
	rm -rf "$work"
	if kill -0 "$guest" 2>/dev/null; then kill "$guest"; fi
}
trap stop EXIT
ready=''
while IFS= read -r line <&3; do
	[ "$line" != ready ] || { ready=yes && break; }
	printf '%s\n' "$line"
done
[ -n "$ready" ] || die "the guest did not come up (see above)"

head -c "$size" /dev/urandom >"$work/sent"
say "uploading $((size >> 20)) MiB to $url/file by curl"
curl -sS --fail --max-time 600 -T "$work/sent" "$url/file"
echo
say "downloading it again"
curl -sS --fail --max-time 600 -o "$work/received" "$url/file"
sent=$(sha256sum <"$work/sent") received=$(sha256sum <"$work/received")
printf 'sent      sha256 %s\nreceived  sha256 %s\n' "${sent%% *}" "${received%% *}"
[ "$sent" = "$received" ] || die "what came back is not what was sent"
echo "the same"

if [ -n "$keep" ]; then
	say "it stays up: try  curl -T FILE $url/NAME  and  curl $url/NAME ; Ctrl-C ends it"
	wait "$guest"
	exit
fi
# Declined by one, refused by another: any answer will do.
curl -sS --max-time 60 -o /dev/null "$url/finish"
cat <&3
wait "$guest" || die "the guest failed with exit code $? (see above)"
say "done"
