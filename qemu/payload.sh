#!/usr/bin/env bash
# payload.sh stock|debug: builds this project for a guest and prints what of it goes in,
# as FILE:NAME lines for boot.sh's --add. In the guest, below /payload:
#
#   underpass.ko       the module for that kernel
#   bin/underpass      the router
#   bin/ynl            the kernel tree's YNL client with our spec: `ynl --dump queue-get`
#   tests/, packaging/ as in the checkout, and userspace-router/underpass.toml
#   tests/bin/NAME     the workspace's integration tests, and its test programs

. "$(dirname "$0")/lib.sh"
need_root

here=$(cd "$(dirname "$0")" && pwd)
flavour=${1:-}
tree=$("$here/kernel.sh" stock)/tree
module=$("$here/module.sh" "$flavour")
cd

echo "$module:underpass.ko"
echo "$here/ynl.sh:bin/ynl"
echo "$TOP/tests:tests"
echo "$TOP/packaging:packaging"
echo "$TOP/userspace-router/underpass.toml:userspace-router/underpass.toml"
# The client finds its schema one folder above the spec's.
echo "$tree/tools/net/ynl/pyynl:ynl/pyynl"
echo "$tree/Documentation/netlink/genetlink.yaml:ynl/genetlink.yaml"
echo "$TOP/netlink-proto/underpass.yaml:ynl/specs/underpass.yaml"

# cargo names the executables that it built, each with a hash.
"$here/enter.sh" cargo build --release --workspace --message-format=json --quiet | "$here/executables.py" programs
"$here/enter.sh" cargo test --no-run --workspace --message-format=json --quiet | "$here/executables.py" tests
