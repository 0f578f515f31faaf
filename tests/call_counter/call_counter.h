/*
 * call_counter.h - what the layer offers beside Vulkan, to be found with dlsym in the process that it counts in.
 *
 * Enabled by VK_ADD_LAYER_PATH (the folder of call_counter.json) and VK_INSTANCE_LAYERS=VK_LAYER_GABBRO_call_counter.
 */
#ifndef GAB_CALL_COUNTER_H
#define GAB_CALL_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

/* Calls of a Vulkan function so far, on all devices of the process; UINT64_MAX for one that is not counted. */
uint64_t gab_call_counter_get(const char *name);

/* The submit-th vkQueueSubmit from now on (1: the next) fails with VK_ERROR_DEVICE_LOST, and with it all submits and
 * waits on its device from then on; other devices work. 0: none. */
void gab_call_counter_lose_device_at(uint64_t submit);

/* Shader modules that were made with an instruction changed, as GABBRO_TEST_SPOIL=BYTES:NTH in the environment asks
 * for: in the module of so many bytes the nth arithmetic one, counted modulo how many there are. */
uint64_t gab_call_counter_spoilt(void);

#endif
