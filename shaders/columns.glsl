// columns.glsl - which columns (activation rows) a group of a product works on, and whose weights. Without experts the columns are the
// step's rows, or its output rows. With them each column is a pair of a row and an expert (gab_route), and all columns of a group
// have the same expert, whose rows in the shard begin at base_row; what is surplus or of another shard leaves. COLUMN_GROUP is which
// group along the columns this is: z, where the includer does not say otherwise.
#ifndef GAB_COLUMNS_GLSL
#define GAB_COLUMNS_GLSL

#ifndef COLUMN_GROUP
#define COLUMN_GROUP gl_WorkGroupID.z
#endif

layout(constant_id = GAB_SPEC_EXPERTS) const uint EXPERTS = GAB_EXPERTS_NONE;
#ifdef MATMUL_PAIRS
layout(std430, binding = 9) readonly buffer Route {
#else
layout(std430, binding = 6) readonly buffer Route {
#endif
    gab_route route;
};

uint expert = 0, base_row = 0;
uint run_first = 0, run_count = 1; // RUNS: the group's

// The first column of a group that has `cols`, and how many columns there are; false: the group has nothing to do.
bool columns_of_group(const uint cols, out uint first_col, out uint n_col) {
    first_col = COLUMN_GROUP * cols;
    n_col = args.of_outs != 0 ? step_now.n_out : step_now.n_row;
    if (EXPERTS == GAB_EXPERTS_PAIRS) {
        n_col *= args.n_used;
        if (first_col >= n_col) return false;
        expert = route.expert[first_col];
    }
    if (EXPERTS == GAB_EXPERTS_RUNS) {
        uint run = COLUMN_GROUP / args.run_parts;
        if (run >= route.n_run) return false;
        expert = route.runs[run].expert;
        run_first = route.runs[run].first;
        run_count = n_col = route.runs[run].count;
        first_col = COLUMN_GROUP % args.run_parts * cols;
    }
    if (EXPERTS != GAB_EXPERTS_NONE) {
        if (expert - args.first_expert >= args.n_expert) return false; // wraps below the shard
        base_row = (expert - args.first_expert) * args.n_row;
    }
    return first_col < n_col;
}

// The row of y that a column's results go to.
uint y_row(uint col) {
    return EXPERTS == GAB_EXPERTS_RUNS ? route.order[run_first + min(col, run_count - 1)] : col;
}

// The row of x that a column reads.
uint x_row(uint col) {
    return EXPERTS == GAB_EXPERTS_NONE ? col : y_row(col) / args.x_share;
}

#endif
