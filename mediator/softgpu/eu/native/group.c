/* One thread group: its payload, and its threads in turns. Twins: payload.registers, pixels.py, and
 * group_driver.GroupDriver. */
#include <string.h>
#include <time.h>

#include "eu.h"
#include "pool.h"

enum { R0_GROUP_X = 1, R0_THREAD = 5, R0_GROUP_Y = 6, R0_GROUP_Z = 7 };
enum { SR0_DISPATCH_MASK = 2 };
enum { FFTID_MASK = 0x1ff, MOST_GRFS = 127 };
/* Of pixel shaders: channels of a register's worth of payload, and dwords of it. */
enum { CHANNELS = 32, HALF = 16, SUBSPANS = 2, PIXEL_MASK = 7, LAYER_MASK = 0x7ff, RECTLIST = 0xf };

static int64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* A kernel is to come back after so long, on the whole. Budgets in units of costs.py. */
enum { LOOK_NS = 200000, FIRST_BUDGET = 1 << 14, LEAST_BUDGET = 1 << 10, MOST_BUDGET = 1 << 22 };
enum { THREADS_PER_LOOK = 8 };

static int asked(const struct eu_run *run)
{
	return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) || now_ns() >= run->until;
}

void eu_begin_work(struct eu_subslice *subslice)
{
	if (!subslice->budget)
		subslice->budget = FIRST_BUDGET;
	subslice->looked = now_ns();
	subslice->worker->budget = subslice->budget;
}

/* Another budget, by how long the last one took: slowly up, and down at once, since what the thread
 * does from now on may cost as much more than it paid. */
static void refill(struct eu_subslice *subslice)
{
	int64_t now = now_ns();
	int64_t took = now - subslice->looked;

	if (took < LOOK_NS / 2 && subslice->budget < MOST_BUDGET)
		subslice->budget *= 2;
	else if (took > 2 * LOOK_NS)
		subslice->budget /= took / LOOK_NS;
	if (subslice->budget < LEAST_BUDGET)
		subslice->budget = LEAST_BUDGET;
	subslice->looked = now;
	subslice->worker->budget = subslice->budget;
}

static uint32_t channels(const struct eu_job *job, uint32_t thread)
{
	uint32_t mask = job->channels;

	if (thread % job->width == job->width - 1)
		mask &= job->right;
	if (job->height > 1 && thread / job->width % job->height == job->height - 1)
		mask &= job->bottom;
	return mask;
}

/* What is the same for all threads of this number in a subslice, group after group. */
static void place_payload(const struct eu_job *job, struct eu_subslice *subslice, uint32_t thread)
{
	struct eu_thread *state = subslice->threads + thread;
	uint32_t slot = subslice->first_slot + thread;
	const uint8_t *own = job->constants + (size_t)(job->shared + thread * job->own) * EU_GRF;
	uint8_t *first = state->grf + EU_GRF;
	uint32_t r0[EU_GRF_DWORDS];

	memcpy(r0, job->r0, sizeof(r0));
	r0[R0_THREAD] |= ((job->scratch_base + slot * job->scratch_bytes) & ~0x3ffu) |
			 (slot & FFTID_MASK);
	memcpy(state->grf, r0, sizeof(r0));
	if (job->own_first) {
		memcpy(first, own, job->own * EU_GRF);
		memcpy(first + job->own * EU_GRF, job->constants, job->shared * EU_GRF);
	} else {
		memcpy(first, job->constants, job->shared * EU_GRF);
		memcpy(first + job->shared * EU_GRF, own, job->own * EU_GRF);
	}
	state->dispatch_mask = channels(job, thread);
	memset(state->sr0, 0, sizeof(state->sr0));
	state->sr0[SR0_DISPATCH_MASK] = state->dispatch_mask;
	state->scratch_slot = slot;
	subslice->intact[thread] = 1;
}

/* The channels of a block at a pixel that lie in the area. */
static uint32_t covered(const struct eu_job *job, uint32_t x, uint32_t y)
{
	uint32_t mask = 0;

	for (uint32_t n = 0; n < CHANNELS && job->channels >> n & 1; n++) {
		uint32_t column = eu_pixel_x(x, n), row = eu_pixel_y(y, n);

		if (column >= job->least[0] && column < job->most[0] && row >= job->least[1] &&
		    row < job->most[1])
			mask |= 1u << n;
	}
	return mask;
}

/* What differs from one thread of a pixel shader to the next: r0.0, r1, for SIMD32 r2. */
static void place_pixels(const struct eu_job *job, const struct eu_group *group,
			 struct eu_thread *state)
{
	uint32_t *grf = (uint32_t *)(void *)state->grf;
	uint32_t halves = job->channels >> HALF ? 2 : 1;
	uint32_t x = group->x * (halves == 2 ? 8 : 4);
	uint32_t y = group->y * (job->channels >> 8 ? 4 : 2);
	uint32_t mask = covered(job, x, y);
	uint32_t some = mask;

	grf[0] = (group->z & LAYER_MASK) << 16 | RECTLIST;
	for (uint32_t half = 0; half < halves; half++) {
		uint32_t *payload = grf + (1 + half) * EU_GRF_DWORDS;
		uint32_t bits = mask >> HALF * half & 0xffff;

		memset(payload, 0, EU_GRF);
		for (uint32_t n = 0; n < 4 && job->channels >> (HALF * half + 4 * n) & 1; n++)
			payload[SUBSPANS + n] = eu_pixel_x(x, HALF * half + 4 * n) |
						eu_pixel_y(y, HALF * half + 4 * n) << 16;
		payload[PIXEL_MASK] = bits | bits << 16;
	}
	if (job->whole_subspans) {
		some |= some >> 1;
		some = ((some | some >> 2) & 0x11111111) * 0xf;
	}
	state->pixel_mask = mask;
	state->pixel_x = x;
	state->pixel_y = y;
	state->pixel_layer = group->z;
	state->pixel_writes = job->writes;
	state->dispatch_mask = some;
	state->sr0[SR0_DISPATCH_MASK] = some;
}

void eu_begin_thread(const struct eu_job *job, struct eu_subslice *subslice, uint32_t thread)
{
	struct eu_thread *state = subslice->threads + thread;
	uint32_t *r0 = (uint32_t *)(void *)state->grf;

	if (!subslice->intact[thread])
		place_payload(job, subslice, thread);
	if (job->pixels) {
		place_pixels(job, &subslice->group, state);
	} else {
		r0[R0_GROUP_X] = subslice->group.x;
		r0[R0_GROUP_Y] = subslice->group.y;
		r0[R0_GROUP_Z] = subslice->group.z;
	}
	memset(state->cr0, 0, sizeof(state->cr0));
	memset(state->n0, 0, sizeof(state->n0));
	state->cr0[0] = job->control;
	state->flags = 0;
	state->resume = 0;
	state->arrived = 0;
	subslice->states[thread] = EU_RUNNABLE;
}

static uint32_t fail(struct eu_run *run, uint32_t fault, uint64_t address, uint32_t write)
{
	uint32_t none = 0;

	/* The first one counts: `stop` makes the others give way. */
	if (__atomic_compare_exchange_n(&run->fault, &none, fault, 0, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE)) {
		run->fault_address = address;
		run->fault_write = write;
	}
	__atomic_store_n(&run->stop, 1, __ATOMIC_RELEASE);
	return EU_RUN_FAULT;
}

/* All have arrived: each may go on once. */
static void complete_barrier(struct eu_run *run, struct eu_subslice *subslice)
{
	if (!subslice->group.arrived || subslice->group.arrived < run->job.barrier_threads)
		return;
	subslice->group.arrived = 0;
	for (uint32_t n = 0; n < run->job.threads; n++) {
		subslice->threads[n].n0[0]++;
		subslice->threads[n].arrived = 0;
	}
}

/* Whether a thread is there, and was notified if it waits. */
static int may_go_on(const struct eu_subslice *subslice, uint32_t number)
{
	switch (subslice->states[number]) {
	case EU_RUNNABLE:
		return 1;
	case EU_WAITING:
		return subslice->threads[number].n0[0] != 0;
	default:
		return 0;
	}
}

/* Whether a thread and the one behind it can go on as a pair. */
static int may_pair(const struct eu_run *run, const struct eu_subslice *subslice, uint32_t number)
{
	const struct eu_thread *thread = subslice->threads + number;

	return run->job.pair && number + 1 < run->job.threads && may_go_on(subslice, number + 1) &&
	       thread[0].resume == thread[1].resume &&
	       (thread->resume & EU_PLACE_KIND) != EU_APART && thread[0].cr0[0] == thread[1].cr0[0];
}

/* Run a thread and the one behind it until both wait, both end, they part, or the run is asked to
 * stop. `parted` says whether one is to be run alone now. */
static uint32_t run_pair(struct eu_run *run, struct eu_subslice *subslice, uint32_t number,
			 int *parted)
{
	struct eu_worker *worker = subslice->worker;
	struct eu_thread *thread = subslice->threads + number;

	*parted = 0;
	for (;;) {
		uint32_t came = run->job.pair(thread, &subslice->group, worker);

		if (came != EU_ENDED || thread->resume)
			subslice->intact[number] = subslice->intact[number + 1] = 0;
		if (worker->fault)
			return fail(run, worker->fault, worker->fault_address, worker->fault_write);
		if (came == EU_FAULT)
			return fail(run, EU_BAD_PROGRAM, 0, 0);
		if (came == EU_ENDED) {
			subslice->states[number] = subslice->states[number + 1] = EU_GONE;
			return EU_RUN_ENDED;
		}
		if (came != EU_PARTED)
			thread[0].resume = thread[1].resume = came;
		if (worker->budget > 0) {
			/* Where one alone was notified it takes that alone. */
			*parted = came == EU_PARTED || !thread[0].n0[0] != !thread[1].n0[0];
			if (!*parted && thread[0].n0[0])
				return fail(run, EU_ENDLESS_WAIT, 0, 0);
			if (!*parted)
				subslice->states[number] = subslice->states[number + 1] =
					EU_WAITING;
			return EU_RUN_ENDED;
		}
		refill(subslice);
		if (asked(run))
			return EU_RUN_ASKED;
		if (came == EU_PARTED) {
			*parted = 1;
			return EU_RUN_ENDED;
		}
	}
}

/* Run a thread until it waits, ends, or the run is asked to stop. */
static uint32_t run_thread(struct eu_run *run, struct eu_subslice *subslice, uint32_t number)
{
	struct eu_worker *worker = subslice->worker;
	struct eu_thread *thread = subslice->threads + number;

	for (;;) {
		int apart = run->job.apart && (thread->resume & EU_PLACE_KIND) == EU_APART;
		eu_kernel *kernel = apart ? run->job.apart : run->job.kernel;
		uint32_t came = kernel(thread, &subslice->group, worker);

		if (came != EU_ENDED || thread->resume)
			subslice->intact[number] = 0; /* it has kept registers in its block */
		if (worker->fault)
			return fail(run, worker->fault, worker->fault_address, worker->fault_write);
		if (came == EU_FAULT)
			return fail(run, EU_BAD_PROGRAM, 0, 0);
		if (came == EU_ENDED) {
			subslice->states[number] = EU_GONE;
			return EU_RUN_ENDED;
		}
		thread->resume = came;
		if (worker->budget > 0) {
			if (thread->n0[0]) /* it was notified, and waits for something else */
				return fail(run, EU_ENDLESS_WAIT, 0, 0);
			subslice->states[number] = EU_WAITING;
			return EU_RUN_ENDED;
		}
		refill(subslice);
		if (asked(run))
			return EU_RUN_ASKED;
	}
}

/* Run a thread, or it and the next one; how many is in `done`. */
static uint32_t run_some(struct eu_run *run, struct eu_subslice *subslice, uint32_t number,
			 uint32_t *done)
{
	*done = 1;
	subslice->states[number] = EU_RUNNABLE;
	if (may_pair(run, subslice, number)) {
		int parted;

		subslice->states[number + 1] = EU_RUNNABLE;
		uint32_t came = run_pair(run, subslice, number, &parted);
		if (came != EU_RUN_ENDED || !parted) {
			*done = 2;
			return came;
		}
	}
	return run_thread(run, subslice, number);
}

uint32_t eu_run_group(struct eu_run *run, struct eu_subslice *subslice)
{
	uint32_t count = run->job.threads;

	for (;;) {
		uint32_t gone = 0;
		uint32_t moved = 0;
		uint32_t done = 1;

		for (uint32_t n = subslice->next; n < count; n += done) {
			done = 1;
			if (subslice->states[n] == EU_GONE) {
				gone++;
				continue;
			}
			if (!may_go_on(subslice, n))
				continue;
			moved = 1;
			uint32_t came = run_some(run, subslice, n, &done);
			if (came != EU_RUN_ENDED) {
				subslice->next = n;
				return came;
			}
			for (uint32_t each = n; each < n + done; each++)
				gone += subslice->states[each] == EU_GONE;
			complete_barrier(run, subslice);
			uint32_t next = n + done;
			int look = n / THREADS_PER_LOOK != next / THREADS_PER_LOOK;

			if (subslice->worker->budget <= 0) { /* its messages took long */
				refill(subslice);
				look = 1;
			}
			if (look && next < count && asked(run)) {
				subslice->next = next;
				return EU_RUN_ASKED;
			}
		}
		if (subslice->next) { /* not all have been looked at */
			subslice->next = 0;
			continue;
		}
		if (gone == count)
			return EU_RUN_ENDED;
		if (!moved)
			return fail(run, EU_DEADLOCK, 0, 0);
	}
}
