// matmul_lane.comp - lane.glsl for devices with addresses: a load through a descriptor is checked against its size, which on CPU
// drivers costs as much as the products that one activation goes into.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_buffer_reference_uvec2 : require
#define X_ADDRESS
#include "lane.glsl"
