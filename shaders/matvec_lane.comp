// matvec_lane.comp - lane.glsl for any device.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lane.glsl"
