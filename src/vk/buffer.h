/*
 * buffer.h - memory of the device: buffers, parts of them, and how data gets there.
 *
 * Three kinds of memory: DEVICE (read and written by kernels; mapped where the device's main heap can be written by the
 * host), MAILBOX (host writes, device reads) and READBACK (device writes, host reads, cached). Mapped memory is
 * coherent.
 */
#ifndef GAB_VK_BUFFER_H
#define GAB_VK_BUFFER_H

#include "vk/device.h"

typedef enum gab_memory_kind { GAB_MEMORY_DEVICE, GAB_MEMORY_MAILBOX, GAB_MEMORY_READBACK } gab_memory_kind;

typedef struct gab_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t size;
    void *mapped;     /* NULL: not visible to the host */
    uint64_t address; /* for kernels; 0 without GAB_FEATURE_ADDRESS */
} gab_buffer;

/* A part of a buffer, as a binding sees it. */
typedef struct gab_slice {
    VkBuffer buffer;
    uint64_t offset; /* a multiple of 256 */
    uint64_t size;
    void *mapped;     /* of the slice's first byte, or NULL */
    uint64_t address; /* of the slice's first byte, or 0 */
} gab_slice;

enum { GAB_SLICE_ALIGN = 256 };

/* `what` names the use in errors ("KV cache"). The contents are zero. */
gab_status gab_buffer_create(gab_vk *vk, gab_memory_kind kind, uint64_t size, const char *what, gab_buffer *buffer);
/* The same with whatever was in the memory: for what is written anyway. */
gab_status gab_buffer_create_unset(gab_vk *vk, gab_memory_kind kind, uint64_t size, const char *what,
                                   gab_buffer *buffer);
void gab_buffer_destroy(gab_vk *vk, gab_buffer *buffer); /* zeroed and half-built ones too */
gab_slice gab_buffer_slice(const gab_buffer *buffer, uint64_t offset, uint64_t size);
static inline gab_slice gab_buffer_all(const gab_buffer *buffer) {
    return gab_buffer_slice(buffer, 0, buffer->size);
}

/* Free bytes of the main device-local heap now, by the driver's word; its size where the driver does not say. */
uint64_t gab_vk_memory_free(const gab_vk *vk);

/* Copies host data to and from any slice, through bounded staging where it is not mapped. Blocks until done. For
 * loading and tests. */
gab_status gab_slice_write(gab_vk *vk, gab_slice slice, uint64_t offset, const void *data, uint64_t n);
gab_status gab_slice_read(gab_vk *vk, gab_slice slice, uint64_t offset, void *data, uint64_t n);

/* Copies n bytes on the device. Blocks until done. */
gab_status gab_slice_copy(gab_vk *vk, gab_slice from, gab_slice to, uint64_t n);

/* Uploads from one staging buffer at several places: regions are from the start of `from` to absolute offsets of `to`.
 */
gab_status gab_buffer_upload(gab_vk *vk, const gab_buffer *from, VkBuffer to, const VkBufferCopy *regions,
                             uint32_t n_region);

#endif
