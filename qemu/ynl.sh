#!/bin/sh
# In the guest: the kernel tree's own YNL client, with our spec.
exec python3 /payload/ynl/pyynl/cli.py --spec /payload/ynl/specs/underpass.yaml "$@"
