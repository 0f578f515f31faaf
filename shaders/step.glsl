// step.glsl - the step buffer, binding 0 of every kernel of a plan.
#ifndef GAB_STEP_GLSL
#define GAB_STEP_GLSL

layout(std430, binding = 0) readonly buffer Step {
    gab_step step_now;
    uint page_table[];
};

// The index of a linear grid that was folded into y.
uint folded_group() {
    return gl_WorkGroupID.x + gl_WorkGroupID.y * GAB_GRID_FOLD;
}

#endif
