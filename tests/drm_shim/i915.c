/* The requests of i915 that compute drivers make, for a Gen9 GT2 part: one slice, three subslices
 * of eight execution units. */

#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

enum { SUBSLICES = 3, UNITS = 8, CLOCK_HZ = 12000000, TIMESTAMP = 0x2358 };

static const uint64_t SPACE_BYTES = (uint64_t)1 << 48;
static const uint64_t APERTURE_BYTES = (uint64_t)4 << 30;

struct context {
	bool there;
	bool lost;
	uint32_t space;
};

static struct context *contexts;
static uint32_t context_count;
static uint32_t space_count;

static struct context *context_of(uint32_t id)
{
	/* Context 0 is every file's own. */
	if (!contexts) {
		contexts = calloc(1, sizeof(*contexts));
		if (!contexts)
			return NULL;
		contexts[0] = (struct context){.there = true, .space = ++space_count};
		context_count = 1;
	}
	return id < context_count && contexts[id].there ? &contexts[id] : NULL;
}

static int parameter(int number, int *value)
{
	switch (number) {
	case I915_PARAM_CHIPSET_ID:
		*value = service_chipset();
		return 0;
	case I915_PARAM_REVISION:
		*value = service_revision();
		return 0;
	case I915_PARAM_HAS_ALIASING_PPGTT:
		*value = I915_GEM_PPGTT_FULL;
		return 0;
	case I915_PARAM_NUM_FENCES_AVAIL:
		*value = 32;
		return 0;
	case I915_PARAM_SUBSLICE_TOTAL:
		*value = SUBSLICES;
		return 0;
	case I915_PARAM_EU_TOTAL:
		*value = SUBSLICES * UNITS;
		return 0;
	case I915_PARAM_SUBSLICE_MASK:
		*value = (1 << SUBSLICES) - 1;
		return 0;
	case I915_PARAM_HAS_SCHEDULER:
		*value = I915_SCHEDULER_CAP_ENABLED | I915_SCHEDULER_CAP_PRIORITY |
			 I915_SCHEDULER_CAP_PREEMPTION;
		return 0;
	case I915_PARAM_MMAP_GTT_VERSION:
		*value = 4;
		return 0;
	case I915_PARAM_CMD_PARSER_VERSION:
		*value = 10;
		return 0;
	case I915_PARAM_HAS_GPU_RESET:
		*value = 2;
		return 0;
	case I915_PARAM_CS_TIMESTAMP_FREQUENCY:
		*value = CLOCK_HZ;
		return 0;
	case I915_PARAM_HAS_GEM:
	case I915_PARAM_HAS_EXECBUF2:
	case I915_PARAM_HAS_BSD:
	case I915_PARAM_HAS_BLT:
	case I915_PARAM_HAS_VEBOX:
	case I915_PARAM_HAS_LLC:
	case I915_PARAM_HAS_RELAXED_FENCING:
	case I915_PARAM_HAS_COHERENT_RINGS:
	case I915_PARAM_HAS_RELAXED_DELTA:
	case I915_PARAM_HAS_WAIT_TIMEOUT:
	case I915_PARAM_HAS_SEMAPHORES:
	case I915_PARAM_HAS_EXEC_NO_RELOC:
	case I915_PARAM_HAS_EXEC_HANDLE_LUT:
	case I915_PARAM_HAS_WT:
	case I915_PARAM_MMAP_VERSION:
	case I915_PARAM_HAS_EXEC_SOFTPIN:
	case I915_PARAM_HAS_EXEC_ASYNC:
	case I915_PARAM_HAS_EXEC_FENCE:
	case I915_PARAM_HAS_EXEC_CAPTURE:
	case I915_PARAM_SLICE_MASK:
	case I915_PARAM_HAS_EXEC_BATCH_FIRST:
	case I915_PARAM_HAS_EXEC_FENCE_ARRAY:
	case I915_PARAM_HAS_CONTEXT_ISOLATION:
	case I915_PARAM_MMAP_GTT_COHERENT:
	case I915_PARAM_HAS_EXEC_TIMELINE_FENCES:
	case I915_PARAM_HAS_USERPTR_PROBE:
		*value = 1;
		return 0;
	default:
		*value = 0;
		return 0;
	}
}

static int topology(struct drm_i915_query_item *item)
{
	struct drm_i915_query_topology_info head = {
		.max_slices = 1,
		.max_subslices = SUBSLICES,
		.max_eus_per_subslice = UNITS,
		.subslice_offset = 1,
		.subslice_stride = 1,
		.eu_offset = 2,
		.eu_stride = 1,
	};
	uint8_t masks[2 + SUBSLICES] = {1, (1 << SUBSLICES) - 1};
	int length = sizeof(head) + sizeof(masks);

	memset(masks + 2, (1 << UNITS) - 1, SUBSLICES);
	if (item->length >= length) {
		uint8_t *out = (uint8_t *)(uintptr_t)item->data_ptr;
		memcpy(out, &head, sizeof(head));
		memcpy(out + sizeof(head), masks, sizeof(masks));
	} else if (item->length) {
		return -EINVAL;
	}
	return length;
}

/* As of a kernel from before engines and memory regions could be asked for. */
static int query(struct drm_i915_query *order)
{
	struct drm_i915_query_item *items = (void *)(uintptr_t)order->items_ptr;

	for (uint32_t i = 0; i < order->num_items; i++)
		items[i].length = items[i].query_id == DRM_I915_QUERY_TOPOLOGY_INFO
					  ? topology(&items[i])
					  : -EINVAL;
	return 0;
}

static int set_parameter(struct context *context, const struct drm_i915_gem_context_param *order)
{
	switch (order->param) {
	case I915_CONTEXT_PARAM_VM:
		if (!order->value || order->value > space_count)
			return -ENOENT;
		context->space = order->value;
		return 0;
	case I915_CONTEXT_PARAM_ENGINES:
		return -EINVAL;
	default:
		return 0;
	}
}

static int get_parameter(struct drm_i915_gem_context_param *order)
{
	struct context *context = context_of(order->ctx_id);

	if (!context)
		return -ENOENT;
	switch (order->param) {
	case I915_CONTEXT_PARAM_GTT_SIZE:
		order->value = SPACE_BYTES;
		return 0;
	case I915_CONTEXT_PARAM_SSEU: {
		struct drm_i915_gem_context_param_sseu *sseu = (void *)(uintptr_t)order->value;
		if (order->size >= sizeof(*sseu)) {
			sseu->slice_mask = 1;
			sseu->subslice_mask = (1 << SUBSLICES) - 1;
			sseu->min_eus_per_subslice = UNITS;
			sseu->max_eus_per_subslice = UNITS;
		}
		order->size = sizeof(*sseu);
		return 0;
	}
	case I915_CONTEXT_PARAM_RECOVERABLE:
	case I915_CONTEXT_PARAM_BANNABLE:
	case I915_CONTEXT_PARAM_PERSISTENCE:
		order->value = 1;
		return 0;
	case I915_CONTEXT_PARAM_PRIORITY:
		order->value = 0;
		return 0;
	default:
		return -EINVAL;
	}
}

static int create_context(struct drm_i915_gem_context_create_ext *order)
{
	if (!context_of(0))
		return -ENOMEM;
	struct context made = {.there = true, .space = ++space_count};
	uint64_t next = order->flags & I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS ? order->extensions
										  : 0;

	while (next) {
		struct drm_i915_gem_context_create_ext_setparam *change = (void *)(uintptr_t)next;
		if (change->base.name != I915_CONTEXT_CREATE_EXT_SETPARAM)
			return -EINVAL;
		int status = set_parameter(&made, &change->param);
		if (status < 0)
			return status;
		next = change->base.next_extension;
	}
	struct context *larger = realloc(contexts, (context_count + 1) * sizeof(*contexts));
	if (!larger)
		return -ENOMEM;
	contexts = larger;
	contexts[context_count] = made;
	order->ctx_id = context_count++;
	return 0;
}

static int signal_fences(const struct drm_i915_gem_execbuffer2 *order)
{
	if (order->flags & I915_EXEC_FENCE_ARRAY) {
		const struct drm_i915_gem_exec_fence *fences = (void *)(uintptr_t)order->cliprects_ptr;
		for (uint32_t i = 0; i < order->num_cliprects; i++)
			if (fences[i].flags & I915_EXEC_FENCE_SIGNAL)
				syncobj_signal(fences[i].handle, 0);
	}
	if (!(order->flags & I915_EXEC_USE_EXTENSIONS))
		return 0;
	for (uint64_t next = order->cliprects_ptr; next;) {
		const struct drm_i915_gem_execbuffer_ext_timeline_fences *list =
			(void *)(uintptr_t)next;
		if (list->base.name != DRM_I915_GEM_EXECBUFFER_EXT_TIMELINE_FENCES)
			return -EINVAL;
		const struct drm_i915_gem_exec_fence *fences = (void *)(uintptr_t)list->handles_ptr;
		const uint64_t *points = (void *)(uintptr_t)list->values_ptr;
		for (uint64_t i = 0; i < list->fence_count; i++)
			if (fences[i].flags & I915_EXEC_FENCE_SIGNAL)
				syncobj_signal(fences[i].handle, points[i]);
		next = list->base.next_extension;
	}
	return 0;
}

static uint32_t extents_of(const struct drm_i915_gem_execbuffer2 *order)
{
	const struct drm_i915_gem_exec_object2 *objects = (void *)(uintptr_t)order->buffers_ptr;
	uint32_t count = 0;

	for (uint32_t i = 0; i < order->buffer_count; i++) {
		const struct buffer *buffer = memory_find(objects[i].handle);
		if (!buffer || !(objects[i].flags & EXEC_OBJECT_PINNED) ||
		    objects[i].relocation_count)
			return 0;
		count += buffer->extent_count;
	}
	return count;
}

/* Runs to its end: the lock is held, so that batches come one after the other. */
static int execute(struct drm_i915_gem_execbuffer2 *order)
{
	const struct drm_i915_gem_exec_object2 *objects = (void *)(uintptr_t)order->buffers_ptr;
	struct context *context = context_of(i915_execbuffer2_get_context_id(*order));
	uint32_t total = order->buffer_count ? extents_of(order) : 0;

	if (!context)
		return -ENOENT;
	if (context->lost)
		return -EIO;
	if (!total)
		return -EINVAL;
	struct submitted_extent *extents = calloc(total, sizeof(*extents));
	if (!extents)
		return -ENOMEM;
	uint32_t at = 0;
	for (uint32_t i = 0; i < order->buffer_count; i++) {
		const struct buffer *buffer = memory_find(objects[i].handle);
		uint64_t address = objects[i].offset & (SPACE_BYTES - 1);
		for (uint32_t k = 0; k < buffer->extent_count; k++) {
			extents[at++] = (struct submitted_extent){
				buffer->extents[k].offset,
				buffer->extents[k].size,
				address,
				objects[i].flags,
			};
			address += buffer->extents[k].size;
		}
	}
	uint32_t batch = order->flags & I915_EXEC_BATCH_FIRST ? 0 : order->buffer_count - 1;
	struct submission head = {
		.kind = KIND_RUN,
		.context = i915_execbuffer2_get_context_id(*order),
		.space = context->space,
		.engine = order->flags & I915_EXEC_RING_MASK,
		.batch = (objects[batch].offset & (SPACE_BYTES - 1)) + order->batch_start_offset,
		.batch_bytes = order->batch_len,
		.extent_count = total,
	};
	int status = service_run(&head, extents);
	free(extents);
	/* A hung batch shows in the context's statistics, and its fences are signalled. */
	context->lost = status == -EIO;
	if (order->flags & I915_EXEC_FENCE_OUT) {
		int fence = eventfd(1, EFD_CLOEXEC);
		order->rsvd2 = (order->rsvd2 & 0xffffffff) | (uint64_t)(uint32_t)fence << 32;
	}
	return status == -EIO ? signal_fences(order) : status ? status : signal_fences(order);
}

static int buffer_request(unsigned int number, void *argument)
{
	switch (number) {
	case DRM_I915_GEM_CREATE: {
		struct drm_i915_gem_create *order = argument;
		return memory_create(order->size, &order->handle);
	}
	case DRM_I915_GEM_CREATE_EXT: {
		struct drm_i915_gem_create_ext *order = argument;
		return order->extensions ? -EINVAL : memory_create(order->size, &order->handle);
	}
	case DRM_I915_GEM_USERPTR: {
		struct drm_i915_gem_userptr *order = argument;
		return memory_adopt(order->user_ptr, order->user_size, &order->handle);
	}
	default:
		break;
	}
	/* The rest begins with the handle. */
	struct buffer *buffer = memory_find(*(uint32_t *)argument);
	if (!buffer)
		return -ENOENT;
	switch (number) {
	case DRM_I915_GEM_MMAP: {
		struct drm_i915_gem_mmap *order = argument;
		return memory_map(buffer, order->offset, order->size, (uint64_t *)&order->addr_ptr);
	}
	case DRM_I915_GEM_MMAP_GTT: {
		struct drm_i915_gem_mmap_offset *order = argument;
		if (buffer->extent_count != 1)
			return -ENODEV;
		order->offset = buffer->extents[0].offset;
		return 0;
	}
	case DRM_I915_GEM_PWRITE:
	case DRM_I915_GEM_PREAD: {
		struct drm_i915_gem_pwrite *order = argument;
		return memory_copy(buffer, order->offset, (void *)(uintptr_t)order->data_ptr, order->size,
				   number == DRM_I915_GEM_PWRITE);
	}
	case DRM_I915_GEM_SET_TILING: {
		struct drm_i915_gem_set_tiling *order = argument;
		buffer->tiling = order->tiling_mode;
		buffer->stride = order->stride;
		order->swizzle_mode = I915_BIT_6_SWIZZLE_NONE;
		return 0;
	}
	case DRM_I915_GEM_GET_TILING: {
		struct drm_i915_gem_get_tiling *order = argument;
		order->tiling_mode = buffer->tiling;
		order->swizzle_mode = I915_BIT_6_SWIZZLE_NONE;
		order->phys_swizzle_mode = I915_BIT_6_SWIZZLE_NONE;
		return 0;
	}
	case DRM_I915_GEM_SET_CACHING:
		buffer->caching = ((struct drm_i915_gem_caching *)argument)->caching;
		return 0;
	case DRM_I915_GEM_GET_CACHING:
		((struct drm_i915_gem_caching *)argument)->caching = buffer->caching;
		return 0;
	case DRM_I915_GEM_BUSY:
		((struct drm_i915_gem_busy *)argument)->busy = 0;
		return 0;
	case DRM_I915_GEM_MADVISE:
		((struct drm_i915_gem_madvise *)argument)->retained = 1;
		return 0;
	case DRM_I915_GEM_WAIT:
	case DRM_I915_GEM_SET_DOMAIN:
	case DRM_I915_GEM_SW_FINISH:
		return 0;
	default:
		return -EINVAL;
	}
}

int i915_request(unsigned int number, void *argument)
{
	switch (number) {
	case DRM_I915_GETPARAM: {
		struct drm_i915_getparam *order = argument;
		return parameter(order->param, order->value);
	}
	case DRM_I915_QUERY:
		return query(argument);
	case DRM_I915_GEM_EXECBUFFER2:
		return execute(argument);
	case DRM_I915_GEM_CONTEXT_CREATE:
		return create_context(argument);
	case DRM_I915_GEM_CONTEXT_DESTROY: {
		uint32_t id = ((struct drm_i915_gem_context_destroy *)argument)->ctx_id;
		struct context *context = context_of(id);
		if (!context || !id)
			return -ENOENT;
		context->there = false;
		service_context_gone(id);
		return 0;
	}
	case DRM_I915_GEM_CONTEXT_GETPARAM:
		return get_parameter(argument);
	case DRM_I915_GEM_CONTEXT_SETPARAM: {
		struct drm_i915_gem_context_param *order = argument;
		struct context *context = context_of(order->ctx_id);
		return context ? set_parameter(context, order) : -ENOENT;
	}
	case DRM_I915_GEM_VM_CREATE:
		((struct drm_i915_gem_vm_control *)argument)->vm_id = ++space_count;
		return 0;
	case DRM_I915_GEM_VM_DESTROY:
	case DRM_I915_GEM_THROTTLE:
		return 0;
	case DRM_I915_GET_RESET_STATS: {
		struct drm_i915_reset_stats *order = argument;
		struct context *context = context_of(order->ctx_id);
		if (!context)
			return -ENOENT;
		order->batch_active = context->lost;
		return 0;
	}
	case DRM_I915_REG_READ: {
		struct drm_i915_reg_read *order = argument;
		if ((order->offset & ~(uint64_t)7) != TIMESTAMP)
			return -EINVAL;
		order->val = service_timestamp();
		return 0;
	}
	case DRM_I915_GEM_GET_APERTURE: {
		struct drm_i915_gem_get_aperture *order = argument;
		order->aper_size = APERTURE_BYTES;
		order->aper_available_size = APERTURE_BYTES;
		return 0;
	}
	default:
		return buffer_request(number, argument);
	}
}
