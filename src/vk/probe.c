#include "vk/probe.h"

#include "vk/commands.h"

enum { PROBE_WORDS = 64 };

gab_status gab_vk_probe(gab_vk *vk) {
    gab_status status;
    gab_buffer buffer = {0};
    gab_command_list list = {0};
    uint64_t value = 0;
    const gab_probe_args args = {.value = 0x6ab0b201u, .half_word = 1}; /* the least: 2^-24 */
    gab_recorder recorder = {.vk = vk, .list = &list};

    GAB_TRY_GOTO(gab_buffer_create(vk, GAB_MEMORY_READBACK, (PROBE_WORDS + 1) * 4, "probe", &buffer), error);
    GAB_TRY_GOTO(gab_command_list_create(vk, 1, &list), error);
    gab_dispatch dispatch = {
        .pipeline = {.shader = GAB_SHADER_PROBE, .n_binding = 1, .spec = {[GAB_SPEC_LANES] = PROBE_WORDS}},
        .bindings = {gab_buffer_all(&buffer)},
        .push = &args,
        .push_bytes = sizeof args,
        .groups = {1, 1, 1}};
    gab_record_open(&recorder);
    gab_record_dispatch(&recorder, &dispatch);
    gab_record_host_barrier(&recorder);
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    GAB_TRY_GOTO(gab_submit(vk, &list, 0, 1, &value), error);
    GAB_TRY_GOTO(gab_wait(vk, value), error);
    const uint32_t *words = buffer.mapped;
    vk->executes = true;
    for (uint32_t i = 0; i < PROBE_WORDS; i++) vk->executes = vk->executes && words[i] == (args.value ^ i);
    vk->f16_flushed = vk->executes && words[PROBE_WORDS] != 0x33800000u;
error:
    gab_command_list_destroy(vk, &list);
    gab_buffer_destroy(vk, &buffer);
    return status;
}
