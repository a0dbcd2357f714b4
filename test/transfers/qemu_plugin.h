// The functions of qemu's plugin interface, version 1, that are used here.
// Debian has qemu, but no package with a header for it. They are documented at
// https://www.qemu.org/docs/master/devel/tcg-plugins.html.
#ifndef AOMALLOC_TEST_TRANSFERS_QEMU_PLUGIN_H_
#define AOMALLOC_TEST_TRANSFERS_QEMU_PLUGIN_H_

#include <cstddef>
#include <cstdint>

extern "C" {

using qemu_plugin_id_t = uint64_t;
using qemu_plugin_meminfo_t = uint32_t;
struct qemu_info_t;       // not looked at
struct qemu_plugin_tb;    // a block of code that is being translated
struct qemu_plugin_insn;  // one of its instructions

enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS = 0 };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };

// What a plugin has to define.
extern int qemu_plugin_version __attribute__((visibility("default")));
int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc,
                        char** argv) __attribute__((visibility("default")));

// A thread of the program is a "vcpu"; its index is used again when it ends.
using qemu_plugin_vcpu_simple_cb_t = void (*)(qemu_plugin_id_t id,
                                              unsigned vcpu);
void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id,
                                       qemu_plugin_vcpu_simple_cb_t callback);

// Translation: the place to ask for calls when the code runs.
using qemu_plugin_vcpu_tb_trans_cb_t = void (*)(qemu_plugin_id_t id,
                                                qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb_t callback);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb* block);
qemu_plugin_insn* qemu_plugin_tb_get_insn(const qemu_plugin_tb* block,
                                          size_t index);
uint64_t qemu_plugin_insn_vaddr(const qemu_plugin_insn* instruction);

using qemu_plugin_vcpu_udata_cb_t = void (*)(unsigned vcpu, void* data);
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb* block,
                                          qemu_plugin_vcpu_udata_cb_t callback,
                                          qemu_plugin_cb_flags flags,
                                          void* data);

// Called after each access of an instruction; an atomic operation is a store.
using qemu_plugin_vcpu_mem_cb_t = void (*)(unsigned vcpu,
                                           qemu_plugin_meminfo_t info,
                                           uint64_t address, void* data);
void qemu_plugin_register_vcpu_mem_cb(qemu_plugin_insn* instruction,
                                      qemu_plugin_vcpu_mem_cb_t callback,
                                      qemu_plugin_cb_flags flags,
                                      qemu_plugin_mem_rw which, void* data);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

using qemu_plugin_vcpu_syscall_cb_t = void (*)(
    qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b,
    uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h);
void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t id, qemu_plugin_vcpu_syscall_cb_t callback);
using qemu_plugin_vcpu_syscall_ret_cb_t = void (*)(qemu_plugin_id_t id,
                                                   unsigned vcpu,
                                                   int64_t number,
                                                   int64_t result);
void qemu_plugin_register_vcpu_syscall_ret_cb(
    qemu_plugin_id_t id, qemu_plugin_vcpu_syscall_ret_cb_t callback);

using qemu_plugin_udata_cb_t = void (*)(qemu_plugin_id_t id, void* data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
                                    qemu_plugin_udata_cb_t callback,
                                    void* data);

}  // extern "C"

#endif  // AOMALLOC_TEST_TRANSFERS_QEMU_PLUGIN_H_
