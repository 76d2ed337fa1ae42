/* What a program calls: opening the device, asking what it is, and its requests. */

#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

pthread_mutex_t shim_lock = PTHREAD_MUTEX_INITIALIZER;

static const char NODE[] = "/dev/dri/renderD128";
static const char BY_PATH[] = "/dev/dri/by-path/pci-0000:00:02.0-render";

/* Looked up once, at the start: dlsym takes the loader's lock, which another thread may hold while
 * it waits for the one that opens a file. */
#define REAL(name) real_##name
#define EACH(do)                                                                                   \
	do(open) do(open64) do(openat) do(openat64) do(stat) do(stat64) do(lstat) do(lstat64)      \
	do(fstat) do(fstat64) do(fstatat) do(fstatat64) do(ioctl)
#define DECLARE(name) static __typeof__(&name) real_##name;
#define LOOK_UP(name)                                                                              \
	if (!real_##name)                                                                          \
		real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);

EACH(DECLARE)

__attribute__((constructor)) static void look_up(void)
{
	EACH(LOOK_UP)
}

/* Another library's constructor may come first. */
#define READY                                                                                      \
	if (!real_ioctl)                                                                           \
		look_up();

static bool is_node(const char *path)
{
	return path && (strcmp(path, NODE) == 0 || strcmp(path, BY_PATH) == 0);
}

static int open_device(int flags)
{
	pthread_mutex_lock(&shim_lock);
	int file = memory_file();
	if (file >= 0)
		service_connect();
	pthread_mutex_unlock(&shim_lock);
	return file < 0 ? file : fcntl(file, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 3);
}

static bool needs_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

#define MODE_OF(flags)                                                                             \
	mode_t mode = 0;                                                                           \
	if (needs_mode(flags)) {                                                                   \
		va_list rest;                                                                      \
		va_start(rest, flags);                                                             \
		mode = va_arg(rest, mode_t);                                                       \
		va_end(rest);                                                                      \
	}

int open(const char *path, int flags, ...)
{
	READY
	MODE_OF(flags)
	return is_node(path) ? open_device(flags) : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	READY
	MODE_OF(flags)
	return is_node(path) ? open_device(flags) : REAL(open64)(path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...)
{
	READY
	MODE_OF(flags)
	return is_node(path) ? open_device(flags) : REAL(openat)(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
	READY
	MODE_OF(flags)
	return is_node(path) ? open_device(flags) : REAL(openat64)(directory, path, flags, mode);
}

/* What open becomes in programs that are built with checks. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	READY
	return is_node(path) ? open_device(flags) : REAL(open)(path, flags);
}

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
	READY
	return is_node(path) ? open_device(flags) : REAL(open64)(path, flags);
}

static int as_device(int status, mode_t *mode, dev_t *device)
{
	if (status == 0) {
		*mode = S_IFCHR | 0666;
		*device = makedev(SHIM_MAJOR, SHIM_MINOR);
	}
	return status;
}

int stat(const char *path, struct stat *facts)
{
	READY
	int status = REAL(stat)(path, facts);
	return is_node(path) ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int stat64(const char *path, struct stat64 *facts)
{
	READY
	int status = REAL(stat64)(path, facts);
	return is_node(path) ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int lstat(const char *path, struct stat *facts)
{
	READY
	int status = REAL(lstat)(path, facts);
	return is_node(path) ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int lstat64(const char *path, struct stat64 *facts)
{
	READY
	int status = REAL(lstat64)(path, facts);
	return is_node(path) ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int fstat(int fd, struct stat *facts)
{
	READY
	int status = REAL(fstat)(fd, facts);
	return memory_is_device(fd) ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int fstat64(int fd, struct stat64 *facts)
{
	READY
	int status = REAL(fstat64)(fd, facts);
	return memory_is_device(fd) ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int fstatat(int directory, const char *path, struct stat *facts, int flags)
{
	READY
	int status = REAL(fstatat)(directory, path, facts, flags);
	bool ours = is_node(path) || (!*path && memory_is_device(directory));
	return ours ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

int fstatat64(int directory, const char *path, struct stat64 *facts, int flags)
{
	READY
	int status = REAL(fstatat64)(directory, path, facts, flags);
	bool ours = is_node(path) || (!*path && memory_is_device(directory));
	return ours ? as_device(status, &facts->st_mode, &facts->st_rdev) : status;
}

static void give_text(const char *text, char *out, __kernel_size_t *length)
{
	__kernel_size_t whole = strlen(text);

	if (out && *length)
		memcpy(out, text, *length < whole ? *length : whole);
	*length = whole;
}

static int common_request(unsigned int number, void *argument)
{
	switch (number) {
	case _IOC_NR(DRM_IOCTL_VERSION): {
		struct drm_version *order = argument;
		order->version_major = 1;
		order->version_minor = 6;
		order->version_patchlevel = 0;
		give_text("i915", order->name, &order->name_len);
		give_text("20201103", order->date, &order->date_len);
		give_text("Intel Graphics", order->desc, &order->desc_len);
		return 0;
	}
	case _IOC_NR(DRM_IOCTL_GET_CAP): {
		struct drm_get_cap *order = argument;
		order->value = order->capability == DRM_CAP_SYNCOBJ ||
			       order->capability == DRM_CAP_SYNCOBJ_TIMELINE ||
			       order->capability == DRM_CAP_TIMESTAMP_MONOTONIC;
		return 0;
	}
	case _IOC_NR(DRM_IOCTL_SET_CLIENT_CAP):
		return 0;
	case _IOC_NR(DRM_IOCTL_GEM_CLOSE):
		return memory_close(((struct drm_gem_close *)argument)->handle);
	default:
		return syncobj_request(number, argument);
	}
}

static int device_request(unsigned long request, void *argument)
{
	unsigned int number = _IOC_NR(request);
	size_t size = _IOC_SIZE(request);
	/* Programs may know a request with fewer or more fields than we do. */
	uint8_t copy[SHIM_ARGUMENT_BYTES] = {0};
	int status;

	if (_IOC_TYPE(request) != DRM_IOCTL_BASE || size > sizeof(copy))
		return -EINVAL;
	if (argument)
		memcpy(copy, argument, size);
	pthread_mutex_lock(&shim_lock);
	if (number >= DRM_COMMAND_BASE && number < DRM_COMMAND_END)
		status = i915_request(number - DRM_COMMAND_BASE, copy);
	else
		status = common_request(number, copy);
	pthread_mutex_unlock(&shim_lock);
	if (argument && (_IOC_DIR(request) & _IOC_READ))
		memcpy(argument, copy, size);
	return status;
}

int ioctl(int fd, unsigned long request, ...)
{
	READY
	va_list rest;

	va_start(rest, request);
	void *argument = va_arg(rest, void *);
	va_end(rest);
	if (!memory_is_device(fd))
		return REAL(ioctl)(fd, request, argument);
	int status = device_request(request, argument);
	if (status < 0) {
		if (getenv("VGPUD_SHIM_TRACE"))
			fprintf(stderr, "drm shim: request %#lx: %s\n", _IOC_NR(request),
				strerror(-status));
		errno = -status;
		return -1;
	}
	return status;
}
