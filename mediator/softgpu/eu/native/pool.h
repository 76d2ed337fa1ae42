/* Running the groups of a kernel job on a pool of host threads. build.py reads this file too, so:
 * declarations only. No address of the guest is used here: kernels and eu_send do that.
 */

enum { EU_GROUP_THREADS = 64, EU_MOST_WORKERS = 64 };

/* One kernel job: job.KernelJob with a compiled program. Lengths in GRFs. */
struct eu_job {
	eu_kernel *kernel;
	eu_kernel *pair; /* of two threads; NULL: there is none */
	eu_kernel *apart; /* of one that has parted from another */
	const uint8_t *constants; /* `shared` GRFs, then `own` for each thread */
	uint32_t shared;
	uint32_t own;
	uint32_t own_first; /* of the blocks behind r0 */
	uint32_t r0[8]; /* of every thread, without group and scratch space */
	uint32_t scratch_base;
	uint32_t scratch_bytes; /* for each thread */
	uint32_t control; /* cr0.0 at the start */
	uint32_t channels; /* one bit for each of the SIMD width */
	uint32_t right; /* last thread of a row */
	uint32_t bottom; /* last row of several */
	uint32_t width;
	uint32_t height;
	uint32_t threads;
	uint32_t barrier_threads;
	uint32_t slm_bytes;
	uint32_t start[3]; /* of x, y, z */
	uint32_t size[3]; /* groups in each direction, not 0 */
	uint32_t pixels; /* threads of a pixel shader: a group is one, with a block of pixels */
	uint32_t least[2]; /* x and y of the area that is drawn, */
	uint32_t most[2]; /* and behind it */
	uint32_t whole_subspans; /* channels of all four pixels run where one is covered */
	uint32_t writes; /* channels of the target that are written */
};

/* Where one group at a time runs. */
struct eu_subslice {
	struct eu_worker *worker;
	struct eu_thread *threads; /* as many as the job has */
	uint8_t *slm; /* 64 KiB */
	struct eu_group group;
	uint32_t first_slot; /* FFTID of its first thread */
	uint32_t busy; /* a group has begun and not ended */
	uint32_t taken; /* by a host thread, now */
	uint32_t next; /* thread with which the group goes on */
	int64_t budget; /* units (costs.py) between two looks at the clock; 0: not known yet */
	int64_t looked; /* at the clock */
	uint64_t ahead; /* groups that were taken and have not begun: from `ahead` up to */
	uint64_t ahead_end;
	uint64_t portion; /* groups to take at a time; 0: not known yet */
	int64_t portion_looked; /* at the clock, when the last portion was taken */
	uint8_t states[64]; /* enum eu_state */
	uint8_t intact[64]; /* the thread's block has the payload of its number from r0 on */
};

enum eu_state { EU_RUNNABLE = 0, EU_WAITING = 1, EU_GONE = 2 };

/* Why a run stands still. `EU_RUN_FAULT`: `fault` and what belongs to it have the first. */
enum eu_outcome { EU_RUN_ENDED = 0, EU_RUN_ASKED = 1, EU_RUN_FAULT = 2 };

/* eu_run.fault beside those of eu_worker. */
enum eu_run_fault { EU_DEADLOCK = 32, EU_ENDLESS_WAIT = 33, EU_BAD_PROGRAM = 34 };

/* A job under way. */
struct eu_run {
	struct eu_job job;
	struct eu_subslice *subslices;
	uint32_t subslice_count;
	uint64_t first; /* number of the first group that had not begun, counted in the grid: low, */
	uint64_t first_high; /* and high half */
	uint64_t left; /* groups from there on; not more than 2^62 at a time */
	uint64_t begun; /* of those; groups that were taken count */
	uint32_t stop; /* any thread may set it */
	uint32_t begin; /* new groups may begin */
	int64_t until; /* CLOCK_MONOTONIC, in nanoseconds */
	uint32_t fault;
	uint32_t fault_write;
	uint64_t fault_address;
	uint64_t groups; /* that have ended */
	uint64_t busy_ns; /* of all host threads */
	uint32_t active; /* host threads at work */
};

/* Host threads beside the caller's. */
struct eu_pool;
struct eu_pool *eu_pool_new(uint32_t threads);
void eu_pool_free(struct eu_pool *pool);

/* Let `run` go on until it ends, faults, or is asked to stop. One caller at a time for a pool, which
 * may be NULL; when this returns nobody works on the run. An eu_outcome. */
uint32_t eu_run_advance(struct eu_pool *pool, struct eu_run *run);

/* Make the registers of one thread: `thread` is its number in `subslice`'s group. */
void eu_begin_thread(const struct eu_job *job, struct eu_subslice *subslice, uint32_t thread);

/* A host thread begins to work at a subslice: the clock is looked at, a budget is there. */
void eu_begin_work(struct eu_subslice *subslice);

/* Run the group of `subslice` until it has ended, faults, or `run` is asked to stop. An eu_outcome. */
uint32_t eu_run_group(struct eu_run *run, struct eu_subslice *subslice);
