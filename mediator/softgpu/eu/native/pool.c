/* Host threads that take the groups of one run at a time. They run no Python and hold no lock of
 * its. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "eu.h"
#include "pool.h"

struct eu_pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a run is there, or the end */
	pthread_cond_t idle; /* a host thread has left a run */
	struct eu_run *run;
	uint64_t call; /* number of the eu_run_advance that `run` is of */
	uint32_t ending;
	uint32_t count;
	pthread_t threads[EU_MOST_WORKERS];
};

static int64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* The group with number `index` among those of the run. */
static void number_group(const struct eu_run *run, struct eu_subslice *subslice, uint64_t index)
{
	const struct eu_job *job = &run->job;
	unsigned __int128 number = run->first_high;

	number = (number << 64 | run->first) + index;
	if (number >> 64 == 0) { /* the usual case: a short division */
		uint64_t low = (uint64_t)number;

		subslice->group.x = job->start[0] + (uint32_t)(low % job->size[0]);
		low /= job->size[0];
		subslice->group.y = job->start[1] + (uint32_t)(low % job->size[1]);
		subslice->group.z = job->start[2] + (uint32_t)(low / job->size[1]);
		return;
	}
	subslice->group.x = job->start[0] + (uint32_t)(number % job->size[0]);
	number /= job->size[0];
	subslice->group.y = job->start[1] + (uint32_t)(number % job->size[1]);
	subslice->group.z = job->start[2] + (uint32_t)(number / job->size[1]);
}

static void begin_group(struct eu_run *run, struct eu_subslice *subslice)
{
	const struct eu_job *job = &run->job;

	subslice->group.slm = subslice->slm;
	subslice->group.slm_size = job->slm_bytes;
	subslice->group.threads = job->barrier_threads;
	subslice->group.arrived = 0;
	subslice->next = 0;
	if (job->slm_bytes)
		memset(subslice->slm, 0, job->slm_bytes);
	for (uint32_t n = 0; n < job->threads; n++)
		eu_begin_thread(job, subslice, n);
	subslice->busy = 1;
}

/* Groups are taken in portions of about so long, but not more at a time. */
enum { PORTION_NS = 20000, MOST_PORTION = 64 };

/* The next portion's groups, by how long the last one took. */
static uint64_t portion_of(const struct eu_run *run, struct eu_subslice *subslice, int64_t now)
{
	int64_t took = now - subslice->portion_looked;
	uint64_t begun = __atomic_load_n(&run->begun, __ATOMIC_RELAXED);
	/* The last groups are shared out evenly. */
	uint64_t most = begun < run->left ? (run->left - begun) / (2 * run->subslice_count) + 1 : 1;

	if (!subslice->portion)
		subslice->portion = 1;
	else if (took < PORTION_NS / 2 && subslice->portion < MOST_PORTION)
		subslice->portion *= 2;
	else if (took > 2 * PORTION_NS && subslice->portion > 1)
		subslice->portion /= 2;
	subslice->portion_looked = now;
	return subslice->portion < most ? subslice->portion : most;
}

/* Take groups that have not begun; 0 when there is none, or none may begin. */
static int take_groups(struct eu_run *run, struct eu_subslice *subslice)
{
	int64_t now = now_ns();

	if (!run->begin || now >= run->until)
		return 0;
	/* `left` is far below 2^63, so those that come too late do not wrap it. */
	if (__atomic_load_n(&run->begun, __ATOMIC_RELAXED) >= run->left)
		return 0;
	uint64_t count = portion_of(run, subslice, now);
	uint64_t first = __atomic_fetch_add(&run->begun, count, __ATOMIC_RELAXED);
	if (first >= run->left)
		return 0;
	subslice->ahead = first;
	subslice->ahead_end = run->left - first < count ? run->left : first + count;
	return 1;
}

/* Begin a group; 0 if it is time to stop, or there is none. */
static int next_group(struct eu_run *run, struct eu_subslice *subslice)
{
	int taken = 0;

	/* Within a portion the clock is looked at only when the budget was spent. */
	if (__atomic_load_n(&run->stop, __ATOMIC_RELAXED) || subslice->looked >= run->until)
		return 0;
	if (subslice->ahead == subslice->ahead_end) {
		taken = take_groups(run, subslice);
		if (!taken)
			return 0;
	}
	uint64_t index = subslice->ahead++;
	if (!taken && subslice->group.x - run->job.start[0] + 1 < run->job.size[0])
		subslice->group.x++;
	else
		number_group(run, subslice, index);
	begin_group(run, subslice);
	return 1;
}

static void work_at(struct eu_run *run, struct eu_subslice *subslice)
{
	uint32_t modes = eu_modes_begin(subslice->worker);

	eu_begin_work(subslice);
	while (subslice->busy || next_group(run, subslice)) {
		if (eu_run_group(run, subslice) != EU_RUN_ENDED)
			break;
		subslice->busy = 0;
		__atomic_fetch_add(&run->groups, 1, __ATOMIC_RELAXED);
	}
	eu_modes_end(modes);
}

/* A subslice that nobody works at: one with a group that has begun, if there is one. */
static struct eu_subslice *take_subslice(struct eu_run *run, struct eu_pool *pool)
{
	struct eu_subslice *found = NULL;

	if (pool)
		pthread_mutex_lock(&pool->lock);
	for (uint32_t n = 0; n < run->subslice_count; n++) {
		struct eu_subslice *subslice = run->subslices + n;

		if (!subslice->taken && (!found || subslice->busy > found->busy))
			found = subslice;
	}
	if (found)
		found->taken = 1;
	if (pool)
		pthread_mutex_unlock(&pool->lock);
	return found;
}

static void work(struct eu_run *run, struct eu_pool *pool)
{
	int64_t start = now_ns();

	for (struct eu_subslice *subslice; (subslice = take_subslice(run, pool)) != NULL;)
		work_at(run, subslice);
	__atomic_fetch_add(&run->busy_ns, (uint64_t)(now_ns() - start), __ATOMIC_RELAXED);
}

static void *main_of_thread(void *given)
{
	struct eu_pool *pool = given;
	uint64_t done = 0;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->ending && (!pool->run || pool->call == done))
			pthread_cond_wait(&pool->work, &pool->lock);
		if (pool->ending)
			break;
		struct eu_run *run = pool->run;
		done = pool->call;
		run->active++;
		pthread_mutex_unlock(&pool->lock);
		work(run, pool);
		pthread_mutex_lock(&pool->lock);
		run->active--;
		pthread_cond_signal(&pool->idle);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* A kernel's frame may have a MiB. Without this the process's limit would say what there is. */
enum { STACK_BYTES = 8 << 20 };

struct eu_pool *eu_pool_new(uint32_t threads)
{
	struct eu_pool *pool = calloc(1, sizeof(*pool));
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;

	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->idle, NULL);
	sigfillset(&all); /* signals are for threads that run Python */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	while (pool->count < threads && pool->count < EU_MOST_WORKERS) {
		if (pthread_create(pool->threads + pool->count, &attributes, main_of_thread, pool))
			break; /* fewer will do */
		pool->count++;
	}
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pool;
}

void eu_pool_free(struct eu_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->ending = 1;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (uint32_t n = 0; n < pool->count; n++)
		pthread_join(pool->threads[n], NULL);
	pthread_cond_destroy(&pool->idle);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* Groups that have begun, or are a subslice's to begin. */
static uint64_t groups_at_subslices(const struct eu_run *run)
{
	uint64_t count = 0;

	for (uint32_t n = 0; n < run->subslice_count; n++) {
		const struct eu_subslice *subslice = run->subslices + n;

		count += subslice->busy + (subslice->ahead_end - subslice->ahead);
	}
	return count;
}

uint32_t eu_run_advance(struct eu_pool *pool, struct eu_run *run)
{
	uint64_t waiting = groups_at_subslices(run) + (run->begin ? run->left - run->begun : 0);
	int shared = pool && waiting > 1;

	for (uint32_t n = 0; n < run->subslice_count; n++)
		run->subslices[n].taken = 0;
	if (shared) {
		pthread_mutex_lock(&pool->lock);
		pool->run = run;
		pool->call++;
		pthread_cond_broadcast(&pool->work);
		pthread_mutex_unlock(&pool->lock);
	}
	work(run, pool);
	if (shared) {
		pthread_mutex_lock(&pool->lock);
		pool->run = NULL;
		while (run->active)
			pthread_cond_wait(&pool->idle, &pool->lock);
		pthread_mutex_unlock(&pool->lock);
	}
	if (run->begun > run->left)
		run->begun = run->left;
	if (run->fault)
		return EU_RUN_FAULT;
	return run->begun == run->left && !groups_at_subslices(run) ? EU_RUN_ENDED : EU_RUN_ASKED;
}
