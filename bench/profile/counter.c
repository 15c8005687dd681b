// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU: counts, by block of guest code, how often it ran between two marks. A mark is a
 * call of a page that the guest maps at a known address (marks.py). At the second one it writes a line
 * for each block: address of its first instruction, instructions, how often it ran.
 *
 * Blocks that an exception cuts short are counted whole. It knows no tasks: kernel code is that of all.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of QEMU's plugin interface; its header is in no package of Debian 12. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*tb_exec_cb)(unsigned int cpu, void *arg);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, tb_exec_cb cb,
					  enum qemu_plugin_cb_flags flags, void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

#define EXPORT __attribute__((visibility("default")))

/* As in marks.py. */
#define MARK_BEGIN 0x7e0000000000
#define MARK_END 0x7e0000000800

/* QEMU checks it; what is used here is the same in all versions. */
EXPORT int qemu_plugin_version = API;

struct block {
	struct block *next;
	uint64_t address;
	uint64_t instructions;
	uint64_t runs;
};

/* One CPU: nothing here is shared. Blocks are never given back, as QEMU keeps pointers to them. */
static struct block *blocks;
static bool counting;
static const char *out;

static void ran(unsigned int cpu, void *arg)
{
	struct block *block = arg;

	if (counting)
		block->runs++;
}

static void write_all(void)
{
	FILE *file = fopen(out, "w");

	if (!file) {
		perror(out);
		exit(1);
	}
	for (const struct block *b = blocks; b; b = b->next)
		if (b->runs)
			fprintf(file, "%lx %lu %lu\n", b->address, b->instructions, b->runs);
	if (fclose(file)) {
		perror(out);
		exit(1);
	}
}

static void mark(unsigned int cpu, void *arg)
{
	counting = arg;
	if (!counting)
		write_all();
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	struct block *block;

	if (address == MARK_BEGIN || address == MARK_END) {
		void *begins = address == MARK_BEGIN ? &counting : NULL;

		qemu_plugin_register_vcpu_tb_exec_cb(tb, mark, QEMU_PLUGIN_CB_NO_REGS, begins);
		return;
	}
	block = calloc(1, sizeof(*block));
	if (!block) {
		perror("counter");
		exit(1);
	}
	block->address = address;
	block->instructions = qemu_plugin_tb_n_insns(tb);
	block->next = blocks;
	blocks = block;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, ran, QEMU_PLUGIN_CB_NO_REGS, block);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "counter: wants out=FILE\n");
		return 1;
	}
	out = strdup(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
