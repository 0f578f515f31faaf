/* devices.c - `gabbro devices`: what -d can choose from. */
#include <stdio.h>

#include "cli/commands.h"

static const double gib = 1024.0 * 1024.0 * 1024.0;

/* "1.3.230" of VK_MAKE_API_VERSION. */
static void version_text(uint32_t version, char *text, size_t size) {
    snprintf(text, size, "%u.%u.%u", version >> 22 & 0x7f, version >> 12 & 0x3ff, version & 0xfff);
}

static cJSON *device_json(const gab_device_info *device) {
    char version[32];
    cJSON *object = cJSON_CreateObject();
    version_text(device->api_version, version, sizeof version);
    cJSON_AddNumberToObject(object, "index", device->index);
    cJSON_AddStringToObject(object, "name", device->name);
    cJSON_AddStringToObject(object, "kind", gab_device_kind_text(device->kind));
    cJSON_AddStringToObject(object, "driver", device->driver);
    cJSON_AddStringToObject(object, "uuid", device->uuid);
    cJSON_AddStringToObject(object, "vulkan", version);
    cJSON_AddNumberToObject(object, "memory_total", (double)device->memory_total);
    cJSON_AddNumberToObject(object, "memory_free", (double)device->memory_free);
    cJSON_AddNumberToObject(object, "subgroup_size", device->subgroup_size);
    cJSON_AddBoolToObject(object, "unified_memory", device->unified_memory);
    cJSON_AddBoolToObject(object, "usable", device->usable);
    cJSON_AddBoolToObject(object, "default", device->is_default);
    return object;
}

static gab_status print_device(cli_output *output, const gab_device_info *device, bool verbose) {
    char version[32];
    version_text(device->api_version, version, sizeof version);
    GAB_TRY(cli_output_print(output, "%c %u  %s\n     %s, %.1f GiB, Vulkan %s, %s\n", device->is_default ? '*' : ' ',
                             device->index, device->name, gab_device_kind_text(device->kind),
                             (double)device->memory_total / gib, version, device->driver));
    if (!device->usable)
        GAB_TRY(cli_output_print(output, "     not usable: Vulkan 1.2 with a compute queue is needed\n"));
    if (!verbose) return GAB_OK;
    return cli_output_print(output, "     UUID %s, subgroups of %u, %.1f GiB free, %s memory\n", device->uuid,
                            device->subgroup_size, (double)device->memory_free / gib,
                            device->unified_memory ? "host-writable" : "separate");
}

static gab_status print_devices(cli_output *output, const cli_options *options, const gab_device_info *devices,
                                size_t n_device) {
    if (options->json) {
        cJSON *array = cJSON_CreateArray();
        for (size_t i = 0; i < n_device; i++) cJSON_AddItemToArray(array, device_json(&devices[i]));
        return cli_output_json(output, array);
    }
    for (size_t i = 0; i < n_device; i++) GAB_TRY(print_device(output, &devices[i], options->verbose > 0));
    return GAB_OK;
}

gab_status cli_devices(const cli_options *options, cli_console *console) {
    cli_output output = {0};
    gab_device_info *devices = NULL;
    size_t n_device = 0;
    GAB_TRY(gab_device_list(&devices, &n_device, console->log.fn, console->log.user));
    gab_status status = cli_output_open(&output, "-", &console->log);
    if (status == GAB_OK) status = print_devices(&output, options, devices, n_device);
    status = cli_output_close(&output, status);
    gab_device_list_free(&devices);
    if (status == GAB_OK && !options->json && *gab_build_lacks())
        cli_console_say(console, "This build lacks %s.", gab_build_lacks());
    if (status == GAB_OK && !options->json)
        cli_console_say(console, "* is taken by default; -d INDEX, NAME or UUID takes another (NAME: any part of it).");
    return status;
}
