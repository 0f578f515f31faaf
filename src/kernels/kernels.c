#include "kernels/kernels.h"

#include <string.h>

gab_status gab_kernel_set_choose(const gab_vk *vk, const char *forced, gab_kernel_set *set) {
    set->lane = vk->info.kind == GAB_DEVICE_CPU;
    if (forced) {
        if (strcmp(forced, "lane") != 0 && strcmp(forced, "group") != 0)
            return gab_fail(&vk->log, GAB_ERROR_ARGUMENT, "unknown kernel variant '%s': lane and group exist", forced);
        set->lane = strcmp(forced, "lane") == 0;
    }
    uint32_t subgroup = vk->info.subgroup_size;
    set->lanes = !set->lane ? 64 : subgroup >= 16 ? 16 : subgroup;
    return GAB_OK;
}

/* FNV-1a (Fowler, Noll, Vo), one word at a time */
static uint64_t hash_words(uint64_t hash, const uint32_t *words, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ words[i]) * 0x100000001b3u;
    return hash;
}

uint64_t gab_kernel_set_hash(const gab_kernel_set *set) {
    const uint32_t head[2] = {set->lane, set->lanes};
    uint64_t hash = hash_words(0xcbf29ce484222325u, head, 2);
    for (int i = 0; i < GAB_SHADER_COUNT; i++) hash = hash_words(hash, gab_shaders[i].code, gab_shaders[i].bytes / 4);
    return hash;
}

uint32_t gab_weight_n_part(const gab_weight *weight) {
    return (uint32_t)(gab_dtype_plane_row_bytes(weight->type, 0, weight->n_col) / 16);
}

gab_shader_id gab_shader_of_type(gab_shader_id f32, gab_shader_id next, gab_dtype type) {
    return (gab_shader_id)((uint32_t)f32 + (uint32_t)type * ((uint32_t)next - (uint32_t)f32));
}
