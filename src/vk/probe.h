/*
 * probe.h - does the device execute? Some drivers compile and accept everything and compute nothing. And does it keep
 * subnormal f16?
 */
#ifndef GAB_VK_PROBE_H
#define GAB_VK_PROBE_H

#include "vk/device.h"

/* Runs a kernel that stores a known pattern and reads it back: sets vk->executes and vk->f16_flushed. */
gab_status gab_vk_probe(gab_vk *vk);

#endif
