#!/bin/bash
# installed.sh: what packaging/install.sh puts there works as an operator would use it: the kernel loads the module when
# the router asks for it, and a real systemd, in a PID namespace of its own, starts, reloads, restarts and stops the unit.

# shellcheck disable=SC2317  # the functions are called by `check`

set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

unit=/etc/systemd/system/underpass.service
log=/tmp/router.log
install() { /payload/packaging/install.sh /payload/underpass.ko /payload/bin/underpass "$(uname -r)"; }
nothing_wrong() { [ -z "$(systemd-analyze verify "$unit" 2>&1 | tee /dev/stderr)" ]; }
is_loaded() { [ -e /sys/module/underpass ]; }
get() { curl -sS --fail --max-time 60 http://127.0.0.1:8080/content/1000 -o /tmp/got && [ "$(wc -c </tmp/got)" = 1000 ]; }
took_over() { [ "$(grep -cF "took over router" "$log")" = "$1" ]; }
says() { grep -qF "$1" "$log"; }

systemd_runs() { systemd=$(pgrep --parent "$child" --exact systemd); }
ctl() { nsenter --target "$systemd" --pid --mount --cgroup -- systemctl "$@"; }
is_active() { [ "$(ctl is-active underpass)" = active ]; }
main_pid() { ctl show --property MainPID --value underpass; }
reload() {
	local before
	before=$(main_pid)
	ctl reload underpass
	wait_for 60 took_over 1 && [ "$(main_pid)" = "$before" ]
}
restart() {
	ctl restart underpass
	wait_for 60 says "everything is left to the next router" && wait_for 60 took_over 2
}
stop() { ctl stop underpass && [ "$(ctl is-active underpass)" = inactive ]; }
# One client came, to one router with one listener.
counted() {
	local line
	/usr/local/bin/underpass stats | tee /tmp/stats
	for line in 'accepted_connections_total 1' 'router_attached{router="1"} 1' \
		'listener_accepted_connections_total{listener="[0-9]*",router="1",address="0.0.0.0:8080"} 1'; do
		grep -qx "underpass_$line" /tmp/stats || return 1
	done
}
# By the systemd that runs, as an operator does it.
remove() {
	ctl enable --now underpass && wait_for 300 is_active || return 1
	said=$(nsenter --target "$systemd" --pid --mount --cgroup -- /payload/packaging/install.sh --remove) || return 1
	[[ $said = *'rmmod underpass'* ]] || return 1
	[ "$(ctl is-active underpass)" = inactive ] && [ ! -L /etc/systemd/system/multi-user.target.wants/underpass.service ]
}
all_gone() { [ ! -e "$unit" ] && [ ! -e /usr/local/bin/underpass ] && [ -e /etc/underpass.toml ] && refused '' modprobe --show-depends underpass; }

# QEMU's translator with two CPUs does not bear that the kernel patches its own code (guest-main.sh), which cgroups, as
# systemd makes them, have it do.
other_cpus() {
	local cpu
	for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
		[ ! -e "$cpu" ] || echo "$1" >"$cpu"
	done
}
trap 'other_cpus 1; /payload/packaging/install.sh --remove' EXIT
other_cpus 0

plan 17
check "it installs" install
check "systemd finds nothing wrong with the unit" nothing_wrong
check "the user is there" id underpass
check "modprobe finds the module" modprobe --show-depends underpass
rmmod underpass
check "the module is away" refused '' is_loaded

sed -i 's/^backends = .*/backends = ["127.0.0.1:9001"]/; /^weights = /d' /etc/underpass.toml
./peers/backend.py 127.0.0.1:9001 >/dev/null 2>&1 &
# There is no journal here; and /tmp is where this script can read.
mkdir "$unit.d"
printf '[Service]\nPrivateTmp=no\nStandardOutput=append:%s\nStandardError=append:%s\n' "$log" "$log" >"$unit.d/here.conf"
touch "$log"
unshare --pid --fork --kill-child --mount --mount-proc --cgroup env container=test \
	/usr/lib/systemd/systemd --unit=underpass.service --show-status=no --log-target=console >/tmp/systemd.log 2>&1 &
child=$!
check "a systemd runs" wait_for 60 systemd_runs
systemd_runs
check "it starts the router" wait_for 300 is_active
check "which listens" wait_for 60 says "listening on 0.0.0.0:8080"
check "and for which the kernel loaded the module" is_loaded
check "not for routers of user namespaces" refused 'Operation not permitted' unshare --map-root-user --net /usr/local/bin/underpass stats
check "a request is served" get
check "and counted" counted
check "a reload takes over from itself, in the same process" reload
check "a restart goes on with what there was" restart
check "which serves, too" get
check "it stops, and has not failed" stop
check "what was installed is taken away, but for the configuration, though it runs" eval 'remove && all_gone'
kill -KILL "$child"
wait "$child" 2>/dev/null && exit 1
rm -rf /run/systemd
if [ "$tap_failed" != 0 ]; then sed 's/^/# /' /tmp/systemd.log "$log"; fi
finish
