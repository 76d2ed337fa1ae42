/* A message, from its descriptors to the shared function that carries it out. */
#include "eu.h"

/* Shared functions. */
enum {
	NOBODY = 0,
	SAMPLER = 2,
	GATEWAY = 3,
	SAMPLER_CACHE_PORT = 4,
	RENDER_CACHE_PORT = 5,
	THREAD_SPAWNER = 7,
	CONSTANT_CACHE_PORT = 9,
	DATA_PORT_0 = 10,
	DATA_PORT_1 = 12
};

/* In units of costs.py: what a call costs of the budget, and one of the sampler, each of whose lanes
 * may mix many texels. A thread may send thousands before it comes to a back edge. */
enum { SEND_COST = 256, SAMPLER_COST = 8192 };

/* The gateway's functions, by descriptor bits 2:0. */
enum { OPEN = 0, CLOSE = 1, GET_TIMESTAMP = 3, BARRIER = 4 };

void eu_illegal(struct eu_message *message)
{
	eu_record_fault(message->worker, EU_ILLEGAL_MESSAGE,
			(uint64_t)message->sfid << 32 | message->descriptor, 0);
}

uint32_t *eu_response(struct eu_message *message, uint32_t grfs)
{
	if (grfs <= message->response_grfs)
		return (uint32_t *)(void *)message->response;
	if (message->response_grfs)
		memcpy(message->spare, message->response, message->response_grfs * EU_GRF);
	message->spared = 1;
	return message->spare;
}

/* The threads of a group count, not their channels; the group's driver completes a barrier once all
 * have arrived. */
static void arrive(struct eu_message *message)
{
	message->thread->arrived = 1;
	message->group->arrived++;
}

void eu_send_gateway(struct eu_message *message)
{
	switch (eu_field(message->descriptor, 0, 3)) {
	case OPEN:
	case CLOSE:
		break;
	case GET_TIMESTAMP:
		memcpy(eu_response(message, 1), message->thread->tm0, 2 * sizeof(uint32_t));
		break;
	case BARRIER:
		arrive(message);
		break;
	default:
		eu_illegal(message);
	}
}

static void take_payload(struct eu_message *message, const uint8_t *payload, const uint8_t *more)
{
	uint32_t length = payload ? eu_field(message->descriptor, 25, 4) : 0;
	uint32_t more_length = more ? eu_field(message->extended, 6, 4) : 0;
	uint8_t *place = (uint8_t *)message->payload;

	message->grfs = length + more_length;
	if (length)
		memcpy(place, payload, length * EU_GRF);
	if (more_length)
		memcpy(place + length * EU_GRF, more, more_length * EU_GRF);
	memset(place + message->grfs * EU_GRF, 0, (EU_MESSAGE_GRFS - message->grfs) * EU_GRF);
}

void eu_send(struct eu_worker *worker, struct eu_group *group, struct eu_thread *thread,
	     uint32_t sfid, uint32_t descriptor, uint32_t extended, const uint8_t *payload,
	     const uint8_t *more, uint8_t *response, uint32_t mask)
{
	struct eu_message message;

	if (!mask || sfid == NOBODY || sfid == THREAD_SPAWNER)
		return;
	message.worker = worker;
	message.group = group;
	message.thread = thread;
	message.sfid = sfid;
	message.descriptor = descriptor;
	message.extended = extended;
	message.mask = mask;
	message.header = eu_field(descriptor, 19, 1);
	message.response_grfs = response ? eu_field(descriptor, 20, 5) : 0;
	message.response = response;
	message.spared = 0;
	take_payload(&message, payload, more);
	worker->budget -= SEND_COST;
	switch (sfid) {
	case SAMPLER:
		worker->budget -= SAMPLER_COST;
		eu_send_sampler(&message);
		break;
	case GATEWAY:
		eu_send_gateway(&message);
		break;
	case RENDER_CACHE_PORT:
		worker->budget -= EU_TARGET_COST;
		eu_send_render_target(&message);
		break;
	case SAMPLER_CACHE_PORT:
	case CONSTANT_CACHE_PORT:
		eu_send_read_only_port(&message);
		break;
	case DATA_PORT_0:
		eu_send_data_port_0(&message);
		break;
	case DATA_PORT_1:
		eu_send_data_port_1(&message);
		break;
	default:
		eu_illegal(&message);
	}
	if (message.spared && message.response_grfs)
		memcpy(response, message.spare, message.response_grfs * EU_GRF);
}
