/* Synchronisation objects. Batches are done when their submission returns, so a point that has a
 * fence at all is signalled. */

#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct syncobj {
	bool there;
	bool signalled;
	uint64_t point;
};

static struct syncobj *objects;
static uint32_t object_count;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

static struct syncobj *find(uint32_t handle)
{
	if (!handle || handle > object_count || !objects[handle - 1].there)
		return NULL;
	return &objects[handle - 1];
}

static int create(bool signalled, uint32_t *handle)
{
	struct syncobj *larger = realloc(objects, (object_count + 1) * sizeof(*objects));

	if (!larger)
		return -ENOMEM;
	objects = larger;
	objects[object_count++] = (struct syncobj){.there = true, .signalled = signalled};
	*handle = object_count;
	return 0;
}

void syncobj_signal(uint32_t handle, uint64_t point)
{
	struct syncobj *object = find(handle);

	if (!object)
		return;
	object->signalled = true;
	if (point > object->point)
		object->point = point;
	pthread_once(&once, set_up);
	pthread_cond_broadcast(&changed);
}

static bool reached(const struct syncobj *object, uint64_t point)
{
	return point ? object->point >= point : object->signalled;
}

/* Are they there, as the wait asks? -1: one handle is none. */
static int looked_at(const uint32_t *handles, const uint64_t *points, uint32_t count, bool all,
		     uint32_t *first)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct syncobj *object = find(handles[i]);
		if (!object)
			return -1;
		if (reached(object, points ? points[i] : 0)) {
			if (!done++)
				*first = i;
		}
	}
	return all ? done == count : done > 0;
}

static int wait_for(uint64_t handles, uint64_t points, uint32_t count, int64_t until,
		    uint32_t flags, uint32_t *first)
{
	const uint32_t *list = (const uint32_t *)(uintptr_t)handles;
	const uint64_t *wanted = (const uint64_t *)(uintptr_t)points;
	bool all = flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL;
	bool patient = flags & (DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
				DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE);
	struct timespec end = {until / 1000000000, until % 1000000000};

	pthread_once(&once, set_up);
	for (;;) {
		int done = looked_at(list, wanted, count, all, first);
		if (done < 0)
			return -ENOENT;
		if (done)
			return 0;
		if (!patient)
			return -EINVAL;
		if (until <= 0 || pthread_cond_timedwait(&changed, &shim_lock, &end) == ETIMEDOUT)
			return -ETIME;
	}
}

static int each(struct drm_syncobj_array *array, bool signalled)
{
	const uint32_t *list = (const uint32_t *)(uintptr_t)array->handles;

	for (uint32_t i = 0; i < array->count_handles; i++) {
		struct syncobj *object = find(list[i]);
		if (!object)
			return -ENOENT;
		if (signalled)
			syncobj_signal(list[i], 0);
		else
			*object = (struct syncobj){.there = true};
	}
	return 0;
}

static int points_of(struct drm_syncobj_timeline_array *array, bool signal)
{
	const uint32_t *list = (const uint32_t *)(uintptr_t)array->handles;
	uint64_t *points = (uint64_t *)(uintptr_t)array->points;

	for (uint32_t i = 0; i < array->count_handles; i++) {
		struct syncobj *object = find(list[i]);
		if (!object)
			return -ENOENT;
		if (signal)
			syncobj_signal(list[i], points[i]);
		else
			points[i] = object->point;
	}
	return 0;
}

static int transfer(struct drm_syncobj_transfer *order)
{
	struct syncobj *from = find(order->src_handle);

	if (!from || !find(order->dst_handle))
		return -ENOENT;
	if (!reached(from, order->src_point))
		return -EINVAL;
	syncobj_signal(order->dst_handle, order->dst_point);
	return 0;
}

static int notify(struct drm_syncobj_eventfd *order)
{
	struct syncobj *object = find(order->handle);
	uint64_t one = 1;

	if (!object)
		return -ENOENT;
	/* Nobody waits for what is not submitted yet. */
	return write(order->fd, &one, sizeof(one)) == sizeof(one) ? 0 : -EINVAL;
}

int syncobj_request(unsigned int number, void *argument)
{
	switch (number) {
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_CREATE): {
		struct drm_syncobj_create *order = argument;
		return create(order->flags & DRM_SYNCOBJ_CREATE_SIGNALED, &order->handle);
	}
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_DESTROY): {
		struct syncobj *object = find(((struct drm_syncobj_destroy *)argument)->handle);
		if (!object)
			return -EINVAL;
		object->there = false;
		return 0;
	}
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD): {
		struct drm_syncobj_handle *order = argument;
		order->fd = eventfd(1, EFD_CLOEXEC);
		return order->fd < 0 ? -errno : 0;
	}
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE): {
		struct drm_syncobj_handle *order = argument;
		if (!(order->flags & DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE))
			return create(true, &order->handle);
		syncobj_signal(order->handle, 0);
		return find(order->handle) ? 0 : -ENOENT;
	}
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_WAIT): {
		struct drm_syncobj_wait *order = argument;
		return wait_for(order->handles, 0, order->count_handles, order->timeout_nsec,
				order->flags, &order->first_signaled);
	}
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT): {
		struct drm_syncobj_timeline_wait *order = argument;
		return wait_for(order->handles, order->points, order->count_handles,
				order->timeout_nsec, order->flags, &order->first_signaled);
	}
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_RESET):
		return each(argument, false);
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_SIGNAL):
		return each(argument, true);
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_QUERY):
		return points_of(argument, false);
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL):
		return points_of(argument, true);
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_TRANSFER):
		return transfer(argument);
	case _IOC_NR(DRM_IOCTL_SYNCOBJ_EVENTFD):
		return notify(argument);
	default:
		return -EINVAL;
	}
}
