#include "kernels/variants.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "kernels/attention.h"
#include "kernels/matvec.h"

/* Operations that share a table: one, or one for each weight type. */
static const struct {
    const char *name;
    gab_operation first, n;
    const gab_variant *variants;
    const uint32_t *n_variant;
} groups[] = {
    {"matvec", GAB_OP_MATVEC, GAB_DTYPE_COUNT, gab_matvec_variants, &gab_matvec_n_variant},
    {"matmul_small", GAB_OP_MATMUL_SMALL, GAB_DTYPE_COUNT, gab_matmul_variants, &gab_matmul_n_variant},
    {"matmul", GAB_OP_MATMUL, GAB_DTYPE_COUNT, gab_matmul_variants, &gab_matmul_n_variant},
    {"attention_decode", GAB_OP_ATTENTION_DECODE, 1, gab_attention_decode_variants, &gab_attention_decode_n_variant},
    {"attention_prefill", GAB_OP_ATTENTION_PREFILL, 1, gab_attention_prefill_variants,
     &gab_attention_prefill_n_variant},
};

enum { N_GROUP = sizeof groups / sizeof *groups };

static uint32_t group_of(gab_operation operation) {
    uint32_t g = 0;
    while (operation - groups[g].first >= groups[g].n) g++;
    return g;
}

void gab_operation_name(gab_operation operation, char *name, size_t size) {
    const uint32_t g = group_of(operation);
    snprintf(name, size, "%s", groups[g].name);
    if (groups[g].n == 1) return;
    size_t at = strlen(name);
    snprintf(name + at, size - at, "_%s", gab_dtype_get((gab_dtype)(operation - groups[g].first))->name);
    for (; name[at]; at++)
        if (name[at] >= 'A' && name[at] <= 'Z') name[at] = (char)(name[at] - 'A' + 'a');
}

const gab_variant *gab_variants(gab_operation operation, uint32_t *n) {
    const uint32_t g = group_of(operation);
    const gab_dtype type = (gab_dtype)(operation - groups[g].first);
    *n = *groups[g].n_variant;
    for (const gab_variant *last; last = &groups[g].variants[*n - 1], last->quantized; (*n)--)
        if (gab_shaders[gab_shader_of_type(last->shader, type)].bytes > 0) break;
    return groups[g].variants;
}

bool gab_variant_usable(const gab_vk *vk, const gab_variant *variant, bool exact) {
    return (vk->features & variant->needs) == variant->needs && !(exact && variant->error > 0) &&
           (variant->quantized || gab_shaders[variant->shader].bytes > 0);
}

const gab_variant *gab_variant_of(const gab_kernel_set *set, gab_operation operation) {
    uint32_t n;
    return &gab_variants(operation, &n)[set->choice[operation]];
}

static void choose_family(const gab_vk *vk, bool lane, bool exact, gab_kernel_set *set) {
    const uint32_t subgroup = vk->info.subgroup_size;
    set->lane = lane;
    set->matrix = vk->matrix;
    set->lanes = !lane ? 64 : subgroup >= 16 ? 16 : subgroup;
    for (gab_operation o = 0; o < GAB_OP_COUNT; o++) {
        uint32_t n, i = 0;
        const gab_variant *variants = gab_variants(o, &n);
        while (variants[i].lane != lane || !gab_variant_usable(vk, &variants[i], exact)) i++;
        set->choice[o] = (uint8_t)i;
    }
}

/* What names there are, for errors. */
static gab_status unknown(const gab_vk *vk, const char *what, const char *text) {
    char list[1024] = "";
    for (size_t g = 0, at = 0; g < N_GROUP; g++) {
        at += (size_t)snprintf(list + at, sizeof list - at, "; %s:", groups[g].name);
        for (uint32_t i = 0; i < *groups[g].n_variant && at < sizeof list; i++)
            at += (size_t)snprintf(list + at, sizeof list - at, " %s", groups[g].variants[i].name);
        if (at >= sizeof list) break;
    }
    return gab_fail(&vk->log, GAB_ERROR_ARGUMENT,
                    "%s '%.64s': a variant is lane, group or OPERATION=NAME, separated by commas%s", what, text, list);
}

/* "matvec=group_64x4": for every operation that begins so. */
static gab_status choose_named(const gab_vk *vk, const char *text, const char *name, bool exact, gab_kernel_set *set) {
    const size_t length = (size_t)(name - text - 1);
    bool any = false, found = false;
    for (gab_operation o = 0; o < GAB_OP_COUNT; o++) {
        char operation[64];
        uint32_t n;
        const gab_variant *variants = gab_variants(o, &n);
        gab_operation_name(o, operation, sizeof operation);
        if (strncmp(operation, text, length) != 0) continue;
        any = true;
        for (uint32_t i = 0; i < n; i++) {
            if (strcmp(variants[i].name, name) != 0) continue;
            if (!gab_variant_usable(vk, &variants[i], exact))
                return gab_fail(&vk->log, GAB_ERROR_ARGUMENT,
                                "variant '%.64s' needs what %s does not have%s: leave it out", text, vk->info.name,
                                exact ? ", or has narrower products than --precision exact allows" : "");
            set->choice[o] = (uint8_t)i;
            found = true;
        }
    }
    return found ? GAB_OK : unknown(vk, any ? "no such variant" : "no such operation", text);
}

gab_status gab_kernel_set_choose(const gab_vk *vk, const char *forced, bool exact, gab_kernel_set *set) {
    choose_family(vk, vk->info.kind == GAB_DEVICE_CPU, exact, set);
    for (const char *at = forced; at && *at;) {
        char item[128];
        const size_t n = strcspn(at, ",");
        snprintf(item, sizeof item, "%.*s", (int)n, at);
        const char *equals = strchr(item, '=');
        if (strcmp(item, "lane") == 0 || strcmp(item, "group") == 0)
            choose_family(vk, item[0] == 'l', exact, set);
        else if (equals)
            GAB_TRY(choose_named(vk, item, equals + 1, exact, set));
        else
            return unknown(vk, "unknown variant", item);
        at += n + (at[n] == ',');
    }
    return GAB_OK;
}

bool gab_variant_is_forced(const char *forced, gab_operation operation) {
    char name[64];
    gab_operation_name(operation, name, sizeof name);
    for (const char *at = forced; at && *at;) {
        const size_t n = strcspn(at, ","), stem = strcspn(at, ",=");
        if (stem == n || strncmp(name, at, stem) == 0) return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* ---- hashes ---- */

static uint64_t hash_shaders(uint64_t hash) {
    for (int i = 0; i < GAB_SHADER_COUNT; i++) hash = gab_hash_bytes(hash, gab_shaders[i].code, gab_shaders[i].bytes);
    return hash;
}

uint64_t gab_variants_hash(void) {
    uint64_t hash = GAB_HASH_START;
    for (size_t g = 0; g < N_GROUP; g++)
        for (uint32_t i = 0; i < *groups[g].n_variant; i++) {
            gab_variant v;
            memcpy(&v, &groups[g].variants[i], sizeof v); /* with what pads it */
            hash = gab_hash_bytes(hash, v.name, strlen(v.name));
            v.name = NULL; /* an address */
            hash = gab_hash_bytes(hash, &v, sizeof v);
        }
    return hash_shaders(hash);
}

uint64_t gab_kernel_set_hash(const gab_kernel_set *set) {
    const uint64_t hash = gab_hash_bytes(GAB_HASH_START + set->lane, &set->lanes, sizeof set->lanes);
    return hash_shaders(gab_hash_bytes(hash, set->choice, sizeof set->choice));
}
