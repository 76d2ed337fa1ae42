/* The other end: a socket to whoever has the GPU. Without one batches end at once, undone. */

#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { DEFAULT_CHIPSET = 0x1912, DEFAULT_REVISION = 6, CLOCK_HZ = 12000000 };

static int connection = -1;
static uint32_t facts[2] = {DEFAULT_CHIPSET, DEFAULT_REVISION};

static bool send_all(const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t sent = send(connection, at, size, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		size -= sent;
	}
	return true;
}

static bool receive_all(void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t got = recv(connection, at, size, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		size -= got;
	}
	return true;
}

static bool send_file(void)
{
	char byte = 1;
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int file = memory_file();

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
	return sendmsg(connection, &message, MSG_NOSIGNAL) == 1;
}

void service_connect(void)
{
	const char *path = getenv("VGPUD_SHIM");
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (connection >= 0 || !path || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection < 0)
		return;
	if (connect(connection, (struct sockaddr *)&address, sizeof(address)) < 0 || !send_file() ||
	    !receive_all(facts, sizeof(facts))) {
		close(connection);
		connection = -1;
	}
}

uint32_t service_chipset(void)
{
	return facts[0];
}

uint32_t service_revision(void)
{
	return facts[1];
}

int service_run(const struct submission *head, const struct submitted_extent *extents)
{
	int32_t status = -EIO;

	if (connection < 0)
		return 0;
	if (!send_all(head, sizeof(*head)) ||
	    !send_all(extents, head->extent_count * sizeof(*extents)) ||
	    !receive_all(&status, sizeof(status)))
		return -EIO;
	return status;
}

uint64_t service_timestamp(void)
{
	struct submission head = {.kind = KIND_TIMESTAMP};
	struct timespec now;
	uint64_t value;

	if (connection >= 0 && send_all(&head, sizeof(head)) && receive_all(&value, sizeof(value)))
		return value;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * CLOCK_HZ + (uint64_t)now.tv_nsec * CLOCK_HZ / 1000000000) &
	       (((uint64_t)1 << 36) - 1);
}

void service_context_gone(uint32_t context)
{
	struct submission head = {.kind = KIND_CONTEXT_GONE, .context = context};

	if (connection >= 0)
		send_all(&head, sizeof(head));
}
