/*
 * activation.h - the functions between products, in double precision: what shaders/activation.glsl computes.
 */
#ifndef GAB_KERNELS_ACTIVATION_H
#define GAB_KERNELS_ACTIVATION_H

#include <stdint.h>

/* activation: GAB_ACTIVATION_*; limit: of SOFTCAP. */
double gab_activation_reference(uint32_t activation, double x, double limit);

#endif
