/*
 * keep_loaded.c - preloaded into tests with AddressSanitizer (scripts/setup.sh): libraries stay until the process ends.
 * What a driver keeps in its globals would otherwise be a leak as soon as it is unloaded.
 */
#include <dlfcn.h>

int dlclose(void *handle) {
    (void)handle;
    return 0;
}
