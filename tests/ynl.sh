#!/usr/bin/env bash
# The kernel's own YNL client drives the family: what underpass.yaml says is enough to
# use the module, without a line of our code. TAP on stdout.
#
#   YNL=.../tools/net/ynl SPEC=.../underpass.yaml ynl.sh
#
# Needs a network namespace in which nothing used the module yet.
#
# Each call of the client is one netlink socket, so one life of a router: what it leaves
# behind is there for its grace time, and the next call takes it over.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${YNL:?the folder tools/net/ynl of a kernel tree}" "${SPEC:?the path of underpass.yaml}"

port=8080
count=0
failed=0
printf 'TAP version 13\n1..17\n'

# The schema is checked where the header is generated from the spec.
client() { python3 "$YNL/pyynl/cli.py" --no-schema --output-json --spec "$SPEC" "$@"; }

# check NAME PYTHON-EXPRESSION: whether it holds, with `reply` as `answer` left it.
check() {
	count=$((count + 1))
	if python3 -c '
import json, sys
reply = json.loads(sys.argv[1])
sys.exit(not eval(sys.argv[2]))' "$answer" "$2"; then
		printf 'ok %d - %s\n' "$count" "$1"
	else
		failed=1
		printf 'not ok %d - %s\n# expected %s\n# got %s\n' "$count" "$1" "$2" "$answer"
	fi
}

# value PYTHON-EXPRESSION: its value.
value() {
	python3 -c '
import json, sys
reply = json.loads(sys.argv[1])
print(eval(sys.argv[2]))' "$answer" "$1"
}

# ask NAME ARGUMENT...: a call that must succeed; leaves the reply in `answer`.
ask() {
	local name=$1
	shift
	answer=null
	if ! answer=$(client "$@"); then
		printf 'Bail out! %s: %s\n' "$name" "$answer"
		exit 1
	fi
}

# until_true PYTHON-EXPRESSION ARGUMENT...: asks until it holds; a minute is the end.
until_true() {
	local expression=$1 end=$((SECONDS + 60))
	shift
	while ask "until $expression" "$@" && [ "$(value "$expression")" != True ]; do
		if [ "$SECONDS" -gt "$end" ]; then
			printf 'Bail out! not within a minute: %s; got %s\n' "$expression" "$answer"
			exit 1
		fi
	done
}

ask router-get --dump router-get
check 'a fresh namespace has no router' 'reply == []'

if ! answer=$("$here/listen_exec.py" 127.0.0.1 "$port" \
	python3 "$YNL/pyynl/cli.py" --no-schema --output-json --spec "$SPEC" \
	--multi router-attach '{"credit": 9, "grace": 600000}' \
	--multi listener-add '{"fd": {fd}, "head-limit": 4096}'); then
	printf 'Bail out! attach and listener-add: %s\n' "$answer"
	exit 1
fi
check 'router-attach replies with what was agreed' \
	'reply[0]["credit"] == 9 and reply[0]["grace"] == 600000 and reply[0]["id"] > 0 and reply[0]["port"] > 0'
check 'it says which protocol it speaks' 'reply[0]["protocol"] == 1'
check 'listener-add replies with the address' \
	"reply[1]['address'] == '127.0.0.1' and reply[1]['port'] == $port"
check 'and with its owner and limit' \
	'reply[1]["router"] == reply[0]["id"] and reply[1]["head-limit"] == 4096 and reply[1]["accepted"] == 0'
router=$(value 'reply[0]["id"]')
listener=$(value 'reply[1]["id"]')

ask router-get --do router-get --json "{\"id\": $router}"
check 'the router outlives its socket' 'reply["port"] == 0 and reply["listeners"] == 1'

# A live connection: a head, and the first bytes of its body.
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345' >&3
until_true 'len(reply) == 1 and reply[0]["state"] == "ready"' --dump queue-get
check 'queue-get shows the connection' \
	"reply[0]['side'] == 'front' and reply[0]['listener'] == $listener and reply[0]['router'] == $router"
check 'with its addresses' \
	"reply[0]['local-address'] == reply[0]['peer-address'] == '127.0.0.1' and reply[0]['local-port'] == $port"
check 'and its head, of which no body byte was taken' \
	'reply[0]["generation"] == 1 and reply[0]["taken"] == 0 and reply[0]["head-limit"] == 4096'
queue=$(value 'reply[0]["id"]')
generation=$(value 'reply[0]["generation"]')

ask listener-get --dump listener-get
check 'the listener counted it' 'reply[0]["accepted"] == 1'

ask stats-get --do stats-get
check 'so did the statistics' 'reply["accepted"] == 1 and reply["queues"] == 1 and reply["added"] == 0'

# The client prints what was refused, and why.
if answer=$(client --do queue-abort --json "{\"id\": $queue}"); then
	answer='"not refused"'
else
	answer=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$answer")
fi
check 'who does not own a queue is refused, with a text' \
	'"belongs to another router" in reply and "Operation not permitted" in reply'

# A takeover renews the head's number, so that the old owner's answer would be stale.
ask takeover --multi router-takeover "{\"id\": $router, \"credit\": 3}" \
	--multi queue-get "{\"id\": $queue}"
check 'router-takeover' "reply[0]['id'] == $router and reply[0]['credit'] == 3 and reply[0]['queues'] == 1"
check 'renews the head' "reply[1]['generation'] > $generation"
generation=$(value 'reply[1]["generation"]')

# Each takeover renews it once more, predictably, so that one call can answer the head.
ask forward --multi router-takeover "{\"id\": $router}" \
	--multi forward "{\"id\": $queue, \"generation\": $((generation + 1)), \"framing\": \"length\", \"length\": 10}" \
	--multi queue-get "{\"id\": $queue}"
check 'forward discards a body' 'reply[2]["framing"] == "length" and reply[2]["length"] == 10'
printf '67890' >&3
until_true 'reply["result"] == "complete" if "result" in reply else False' \
	--do queue-get --json "{\"id\": $queue}"
check 'to its last byte, and no further' \
	'reply["taken"] == 10 and reply["rx-bytes"] == 10 and reply["state"] == "collecting"'

ask drain --multi router-takeover "{\"id\": $router}" --multi drain "{\"id\": $queue}" \
	--multi listener-del "{\"id\": $listener}"
rest=$(cat <&3)
answer=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$rest")
check 'drain ends the connection for its client' 'reply == ""'

exit "$failed"
