/*
 * commands.h - recording and submitting.
 *
 * A command list is a row of primary command buffers that are submitted in order, as often as wanted. A recorder fills
 * one. The same recording code runs twice: once to collect the pipelines it needs (which are then compiled in
 * parallel), once to record. A failing call makes the recorder ignore all that follow; the status is asked for once, at
 * the end.
 */
#ifndef GAB_VK_COMMANDS_H
#define GAB_VK_COMMANDS_H

#include "vk/buffer.h"
#include "vk/pipeline.h"

typedef struct gab_command_list {
    VkCommandPool pool;
    VkDescriptorPool *set_pools; /* grown as needed */
    uint32_t n_set_pool;
    uint32_t n_set_left; /* in the last pool */
    VkCommandBuffer *primaries;
    uint32_t n_primary, primary_capacity;
    VkQueryPool queries; /* two timestamps a primary; VK_NULL_HANDLE without timestamps */
    double *ms;          /* last measured time of each primary; 0: not yet */
    double *cost;        /* estimated operations of each primary */
    uint32_t n_dispatch, n_barrier;
    uint32_t n_run; /* times it was run to its end */
} gab_command_list;

struct gab_dispatch;

typedef struct gab_recorder {
    gab_vk *vk;
    gab_command_list *list; /* NULL: only collect pipelines */
    VkCommandBuffer cmd;
    double piece_cost;   /* a dispatch above this many operations is recorded in pieces; 0: never */
    double primary_cost; /* a primary above this many operations ends between pieces, and another goes on; 0: never */
    uint32_t n_primary_kept; /* primaries of the list that are not used for this */
    gab_pipeline_key *keys;  /* with list NULL: where to note the pipelines instead of requesting them; may be NULL */
    uint32_t n_key, key_capacity;                                  /* what is more than fits is left out */
    void (*tell)(void *user, const struct gab_dispatch *dispatch); /* with list NULL: who is told of each, instead */
    void *tell_user;
    double cost; /* with list NULL: of all dispatches */
    gab_status status;
} gab_recorder;

enum { GAB_BINDING_MAX = 10, GAB_PUSH_MAX = 128 };

/* One dispatch. Groups may exceed no device limit: x at most 65535 (fold into y). */
typedef struct gab_dispatch {
    gab_pipeline_key pipeline;
    gab_slice bindings[GAB_BINDING_MAX]; /* pipeline.n_binding of them */
    const void *push;
    uint32_t push_bytes;
    uint32_t groups[3];
    double cost; /* estimated operations, for cutting into pieces; 0: never cut */
} gab_dispatch;

gab_status gab_command_list_create(gab_vk *vk, uint32_t n_primary_max, gab_command_list *list);
void gab_command_list_destroy(gab_vk *vk, gab_command_list *list);

/* Opens the next primary: it begins with a barrier against everything before it. */
void gab_record_open(gab_recorder *recorder);
void gab_record_close(gab_recorder *recorder);
void gab_record_dispatch(gab_recorder *recorder, const gab_dispatch *dispatch);
void gab_record_barrier(gab_recorder *recorder); /* compute and transfer before, compute and transfer after */
/* Between dispatches that write different parts of the same buffer: nothing, but a barrier under the validation layer,
 * which knows only whole bindings and would see a conflict. */
void gab_record_apart(gab_recorder *recorder);
void gab_record_host_barrier(gab_recorder *recorder); /* makes writes visible to the host */
/* n_region copies; offsets are relative to the slices. */
void gab_record_copy(gab_recorder *recorder, gab_slice from, gab_slice to, const VkBufferCopy *regions,
                     uint32_t n_region);

/* x groups in one dimension, folded into y at GAB_GRID_FOLD. */
void gab_grid_fold(uint64_t n, uint32_t groups[3]);

/* Submits primaries first..first+n-1 of the list as one submit; *value is what the timeline reaches when it is done. */
gab_status gab_submit(gab_vk *vk, const gab_command_list *list, uint32_t first, uint32_t n, uint64_t *value);

/* Sleeps until the timeline reaches value. */
gab_status gab_wait(gab_vk *vk, uint64_t value);

/* After waiting: reads the timestamps into list->ms. */
void gab_command_list_measure(gab_vk *vk, gab_command_list *list);

#endif
