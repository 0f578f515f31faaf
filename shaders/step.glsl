// step.glsl - the step buffer, binding 0 of every kernel of a plan.
#ifndef GAB_STEP_GLSL
#define GAB_STEP_GLSL

layout(std430, binding = 0) readonly buffer Step {
    gab_step step_now;
    uint page_table[];
};

// The index of a linear grid that was folded over two dimensions; of groups in x and y.
uint unfolded(uvec2 at) {
    return at.x + at.y * GAB_GRID_FOLD;
}
uint folded_group() {
    return unfolded(gl_WorkGroupID.xy);
}

#endif
