/* Buffers: pieces of one memory file, which whoever runs the batches maps too. The file is the
 * device as well: every descriptor of the device is one of the file, and its offsets are the
 * offsets to map a buffer at. */

#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_NAME "vgpud-shim"

static const uint64_t FILE_BYTES = (uint64_t)1 << 37;

static int file = -1;
static uint64_t file_used = SHIM_PAGE;
static struct buffer **buffers;
static uint32_t buffer_count;

static uint64_t whole_pages(uint64_t size)
{
	return (size + SHIM_PAGE - 1) & ~(uint64_t)(SHIM_PAGE - 1);
}

int memory_file(void)
{
	if (file >= 0)
		return file;
	file = memfd_create(FILE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file >= 0 && ftruncate(file, FILE_BYTES) < 0) {
		close(file);
		file = -1;
	}
	return file;
}

bool memory_is_device(int fd)
{
	char path[64], target[64];

	if (file < 0 || fd < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = 0;
	return strncmp(target, "/memfd:" FILE_NAME, sizeof("/memfd:" FILE_NAME) - 1) == 0;
}

struct buffer *memory_find(uint32_t handle)
{
	return handle && handle <= buffer_count ? buffers[handle - 1] : NULL;
}

/* Handles are not given twice: a late use of an old one is an error, and not another buffer. */
static int add(struct buffer *buffer, uint32_t *handle)
{
	struct buffer **larger = realloc(buffers, (buffer_count + 1) * sizeof(*buffers));
	if (!larger)
		return -ENOMEM;
	buffers = larger;
	buffers[buffer_count++] = buffer;
	*handle = buffer_count;
	return 0;
}

static int append(struct buffer *buffer, uint64_t offset, uint64_t size)
{
	uint32_t count = buffer->extent_count;
	struct extent *last = count ? &buffer->extents[count - 1] : NULL;

	if (last && last->offset + last->size == offset) {
		last->size += size;
		return 0;
	}
	struct extent *larger = realloc(buffer->extents, (count + 1) * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	larger[count] = (struct extent){offset, size};
	buffer->extents = larger;
	buffer->extent_count = count + 1;
	return 0;
}

static uint64_t take(uint64_t size)
{
	/* Large buffers begin where large pages could. */
	uint64_t align = size >= (2 << 20) ? 2 << 20 : 64 << 10;
	uint64_t offset = (file_used + align - 1) & ~(align - 1);

	if (offset + size > FILE_BYTES)
		return 0;
	file_used = offset + size;
	return offset;
}

static void discard(struct buffer *buffer)
{
	free(buffer->extents);
	free(buffer);
}

int memory_create(uint64_t size, uint32_t *handle)
{
	struct buffer *buffer = calloc(1, sizeof(*buffer));

	size = whole_pages(size);
	uint64_t offset = size ? take(size) : 0;
	if (!buffer || !offset || append(buffer, offset, size) < 0) {
		if (buffer)
			discard(buffer);
		return size ? -ENOMEM : -EINVAL;
	}
	buffer->size = size;
	int status = add(buffer, handle);
	if (status < 0)
		discard(buffer);
	return status;
}

/* Move a program's pages into the file, in place. What other threads write meanwhile is lost. */
static int move_in(uint64_t start, uint64_t size, uint64_t *offset)
{
	void *there = (void *)(uintptr_t)start;

	*offset = take(size);
	if (!*offset)
		return -ENOMEM;
	for (uint64_t done = 0; done < size;) {
		ssize_t written = pwrite(file, (char *)there + done, size - done, *offset + done);
		if (written <= 0)
			return -EFAULT;
		done += written;
	}
	void *moved = mmap(there, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, *offset);
	return moved == MAP_FAILED ? -errno : 0;
}

/* One line of the map of memory, cut to [at, end): what of it is the file already, is used. */
static int adopt_part(struct buffer *buffer, uint64_t at, uint64_t end, const char *name,
		      uint64_t offset)
{
	if (strncmp(name, "/memfd:" FILE_NAME, sizeof("/memfd:" FILE_NAME) - 1) != 0) {
		int status = move_in(at, end - at, &offset);
		if (status < 0)
			return status;
	}
	return append(buffer, offset, end - at);
}

static int adopt_parts(struct buffer *buffer, uint64_t at, uint64_t end, FILE *map)
{
	/* All lines first: the map changes as pages move. */
	struct part {
		uint64_t from, to, offset;
		char name[32];
	} parts[256];
	uint32_t count = 0;
	char line[4352];

	while (at < end && count < 256 && fgets(line, sizeof(line), map)) {
		uint64_t first, last, offset;
		int name = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &first, &last,
			   &offset, &name) != 3 ||
		    last <= at)
			continue;
		if (first > at)
			return -EFAULT;
		struct part *part = &parts[count++];
		*part = (struct part){at, last < end ? last : end, offset + (at - first), ""};
		strncpy(part->name, line + name, sizeof(part->name) - 1);
		at = part->to;
	}
	if (at < end)
		return -EFAULT;
	for (uint32_t i = 0; i < count; i++) {
		int status = adopt_part(buffer, parts[i].from, parts[i].to, parts[i].name,
					parts[i].offset);
		if (status < 0)
			return status;
	}
	return 0;
}

int memory_adopt(uint64_t pointer, uint64_t size, uint32_t *handle)
{
	if (!size || (pointer | size) % SHIM_PAGE)
		return -EINVAL;
	struct buffer *buffer = calloc(1, sizeof(*buffer));
	FILE *map = fopen("/proc/self/maps", "re");
	int status = buffer && map ? adopt_parts(buffer, pointer, pointer + size, map) : -ENOMEM;
	if (map)
		fclose(map);
	if (status == 0) {
		buffer->size = size;
		status = add(buffer, handle);
	}
	if (status < 0 && buffer)
		discard(buffer);
	return status;
}

int memory_close(uint32_t handle)
{
	struct buffer *buffer = memory_find(handle);

	if (!buffer)
		return -EINVAL;
	/* The file's pages stay: a program may have them mapped still. */
	buffers[handle - 1] = NULL;
	discard(buffer);
	return 0;
}

int memory_map(struct buffer *buffer, uint64_t offset, uint64_t size, uint64_t *pointer)
{
	if (buffer->extent_count != 1 || offset + size > buffer->size)
		return -EINVAL;
	void *there = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file,
			   buffer->extents[0].offset + offset);
	if (there == MAP_FAILED)
		return -errno;
	*pointer = (uintptr_t)there;
	return 0;
}

int memory_copy(struct buffer *buffer, uint64_t offset, void *data, uint64_t size, bool write)
{
	if (buffer->extent_count != 1 || offset > buffer->size || size > buffer->size - offset)
		return -EINVAL;
	off_t at = buffer->extents[0].offset + offset;
	ssize_t done = write ? pwrite(file, data, size, at) : pread(file, data, size, at);
	return done == (ssize_t)size ? 0 : -EFAULT;
}
