# The front door: every command a person types. `make help` lists them.
# Kbuild, the module's own makefile, is another file.

KERNEL ?= stock

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r t d; do \
		printf '  make %-13s %s\n' "$$t" "$$d"; done

.PHONY: run
run: ## an upload through the stock kernel in QEMU, from the host and back; KEEP=1 keeps it running
	@qemu/run.sh $(if $(KEEP),--keep)

.PHONY: test
test: ## everything: lint, unit tests, guests on both kernels; ends with `N passed, N failed`; LONG=1 adds the long tests
	@LONG="$(LONG)" tests/run-all.sh

.PHONY: module
module: ## builds underpass.ko for `uname -r`, or KREL=..., on Debian 13 with its backports kernel
	@qemu/native-module.sh $(KREL)

.PHONY: install uninstall
install: ## installs what `make module` and `cargo build --release` built, with a systemd unit; KREL=..., PREFIX=..., DESTDIR=...
	@packaging/install.sh "build/$(or $(KREL),$(shell uname -r))/underpass.ko" target/release/underpass "$(or $(KREL),$(shell uname -r))"

uninstall: ## removes that again, for all kernels, except /etc/underpass.toml and the user; PREFIX=..., DESTDIR=...
	@packaging/install.sh --remove

.PHONY: vm-test
vm-test: ## the guest tests on KERNEL=stock or debug; SCRIPTS="..." for some of them
	@tests/vm.sh $(KERNEL) $(SCRIPTS)

.PHONY: soak
soak: ## random traffic with faults for HOURS=n or MINUTES=n (integers), and a report; SEED=n, SAVE=file, KERNEL=debug
	@tests/soak.sh $(KERNEL) $$(($(or $(HOURS),0) * 3600 + $(or $(MINUTES),0) * 60)) $(or $(SEED),1) $(SAVE)

.PHONY: fuzz
fuzz: ## fuzzes each parser for SECONDS=300; TARGET=head, chunked, ... for one alone
	@tests/fuzz/run.sh "$(or $(TARGET),all)" "$(SECONDS)"

.PHONY: bench
bench: ## what forwarding costs, compared with rivals; RIVALS="..." WORKLOADS="..." for some alone; bench/README.md has more
	@RIVALS="$(RIVALS)" WORKLOADS="$(WORKLOADS)" KINDS="$(KINDS)" SAVE="$(SAVE)" bench/bench.sh

.PHONY: bench-growth
bench-growth: ## how cost, memory and speed grow with connections and CPUs; RIVALS="..." for some alone
	@RIVALS="$(RIVALS)" KINDS="$(KINDS)" SAVE="$(SAVE)" bench/growth.sh

.PHONY: profile
profile: ## where the instructions of WORKLOAD=get with RIVAL=kernel are spent, by symbol
	@SAVE="$(SAVE)" bench/profile/profile.sh "$(or $(RIVAL),kernel)" "$(or $(WORKLOAD),get)" $(CONNECTIONS)

.PHONY: shell
shell: ## a guest with module, router and tests in /payload, on this terminal; KERNEL=stock or debug
	@qemu/boot.sh $(KERNEL) --project --interactive --memory 3072 --time 86400 -- bash

.PHONY: lint
lint: ## rustfmt, clippy (user space and module), shellcheck, checkpatch, python
	@tests/lint.sh

.PHONY: fmt
fmt: ## formats all Rust
	@tests/lint.sh --fix

.PHONY: generate
generate: ## regenerates what is made from netlink-proto/underpass.yaml
	@qemu/enter.sh netlink-proto/gen.py "$$(qemu/kernel.sh stock)/tree"

.PHONY: refresh
refresh: ## deletes the cached build root, so that the archive's newest kernel is used
	@qemu/refresh.sh

.PHONY: clean
clean: ## deletes what was built in this checkout; the cache stays
	rm -rf build target underpass.ko
