/* A DRM device that is not there: what its parts share. See __init__.py for the whole.
 *
 * Everything below is called with `shim_lock` held. Functions that carry out a request return 0 or
 * a negative error number, as a kernel driver does.
 */
#ifndef SHIM_H
#define SHIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drm/drm.h>
#include <drm/i915_drm.h>

enum {
	SHIM_PAGE = 4096,
	SHIM_MAJOR = 226,
	SHIM_MINOR = 128,
	SHIM_ARGUMENT_BYTES = 256,
};

/* A piece of a buffer: bytes at `offset` of the memory file. */
struct extent {
	uint64_t offset;
	uint64_t size;
};

struct buffer {
	uint64_t size;
	uint32_t tiling;
	uint32_t stride;
	uint32_t caching;
	uint32_t extent_count;
	struct extent *extents;
};

/* What goes over the socket before the extents of a submission. */
struct submission {
	uint32_t kind;
	uint32_t context;
	uint32_t space;
	uint32_t engine;
	uint64_t batch;
	uint64_t batch_bytes;
	uint32_t extent_count;
	uint32_t reserved;
};

struct submitted_extent {
	uint64_t offset;
	uint64_t size;
	uint64_t address;
	uint64_t flags;
};

enum { KIND_RUN = 1, KIND_TIMESTAMP = 2, KIND_CONTEXT_GONE = 3 };

extern pthread_mutex_t shim_lock;

/* memory.c */
int memory_file(void);
bool memory_is_device(int fd);
struct buffer *memory_find(uint32_t handle);
int memory_create(uint64_t size, uint32_t *handle);
int memory_adopt(uint64_t pointer, uint64_t size, uint32_t *handle);
int memory_close(uint32_t handle);
int memory_map(struct buffer *buffer, uint64_t offset, uint64_t size, uint64_t *pointer);
int memory_copy(struct buffer *buffer, uint64_t offset, void *data, uint64_t size, bool write);

/* syncobj.c */
int syncobj_request(unsigned int number, void *argument);
void syncobj_signal(uint32_t handle, uint64_t point);

/* i915.c */
int i915_request(unsigned int number, void *argument);

/* service.c */
void service_connect(void);
uint32_t service_chipset(void);
uint32_t service_revision(void);
int service_run(const struct submission *head, const struct submitted_extent *extents);
uint64_t service_timestamp(void);
void service_context_gone(uint32_t context);

#endif
