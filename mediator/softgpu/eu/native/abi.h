/* What compiled kernels, message routines, the group driver and Python share. build.py reads this
 * file too, so: declarations only. Offsets are part of the translator's code: a change here changes
 * EU_ABI_VERSION, which is part of every key of the translation cache.
 */

enum { EU_ABI_VERSION = 3 };

extern const char eu_sources[]; /* their version: native_sources.py */

/* One EU thread. The interpreter works on it; compiled code loads what it needs at its entry and
 * keeps here, in place, what is live while it waits or gives way. */
struct eu_thread {
	uint8_t grf[4096]; /* r0..r127 */
	uint8_t acc[320]; /* acc0..acc9; acc2 and up are the macro accumulators mme0.. */
	int64_t acc_high[32]; /* of integers: what lies above the 32 (word: 16) bits in acc0, acc1 */
	uint64_t flags; /* f0.0 f0.1 f1.0 f1.1, from bit 0 on */
	uint16_t a0[16];
	uint32_t cr0[4];
	uint32_t sr0[4];
	uint32_t n0[4];
	uint32_t tm0[4];
	uint32_t sp[2];
	uint32_t dispatch_mask;
	uint32_t resume; /* 0: from the entry; else what the kernel returned last */
	uint32_t arrived; /* sent a barrier message that is not complete yet */
	uint32_t scratch_slot; /* FFTID */
	uint32_t masks[64]; /* control-flow masks of compiled code while it does not run */
	uint32_t pixel_mask; /* of a pixel shader's thread: covered channels; 0: of no pixel shader */
	uint32_t pixel_x, pixel_y; /* upper left pixel of its block */
	uint32_t pixel_layer;
	uint32_t pixel_writes; /* channels of a render target that are written, red is bit 0 */
	uint32_t pixel_reserved;
	uint64_t reserved[5];
};

/* What the threads of one thread group share. */
struct eu_group {
	uint8_t *slm; /* eu_worker's block of 64 KiB, zeroed for each group */
	uint32_t slm_size; /* bytes that the descriptor grants; 0: none */
	uint32_t threads;
	uint32_t arrived;
	uint32_t x, y, z;
};

enum { EU_TLB_ENTRIES = 1024, EU_TLB_SPREAD = 633 };

/* Each page has one place: (page + page / 1024 * EU_TLB_SPREAD) % EU_TLB_ENTRIES. Drivers put buffers
 * at multiples of some MiB, which the golden section keeps apart here, neighbouring pages as well.
 * Host address = GPU address + delta. An entry that holds nothing has page UINT64_MAX. */
struct eu_translation {
	uint64_t page; /* GPU address >> 12 */
	uint64_t delta;
};

/* A buffer of the binding table, as untyped and block messages see it. One that is not known yet has
 * size 0, so that nothing lies inside. */
struct eu_buffer {
	uint64_t base; /* 48-bit GPU address */
	uint64_t size; /* bytes */
	uint64_t known;
};

/* Rows of eu_worker.statistics that the message routines count. */
enum eu_statistic { EU_DISCARDED_WRITES = 0, EU_WALKS = 1 };

/* eu_worker.fault: why. 1..4 are the numbers of interface.FaultKind. */
enum eu_fault_kind { EU_ILLEGAL_MESSAGE = 16 };

/* What one host thread works with. A read needs an entry of `reads`, a write or atomic one of
 * `writes`, which are filled only for pages that may be read and written, and while no dirty log
 * records. eu_forget makes one ready, and must be called again before the next work whenever page
 * tables, memory map, dirty log, base addresses or surface states may have changed. */
struct eu_worker {
	struct eu_translation reads[1024];
	struct eu_translation writes[1024];
	int64_t budget; /* units (costs.py) until the kernel returns to be asked; counts down */
	uint32_t fault; /* not 0: the thread returns EU_FAULT at its next back edge, barrier or end.
			 * FaultKind or eu_fault_kind */
	uint32_t fault_write;
	uint64_t fault_address; /* of EU_ILLEGAL_MESSAGE: SFID << 32 | descriptor */
	uint64_t surface_base; /* 48-bit GPU addresses, of STATE_BASE_ADDRESS */
	uint64_t dynamic_base;
	uint64_t general_base;
	uint64_t general_size;
	uint64_t bindless_base;
	uint64_t bindless_size;
	uint64_t scratch_base; /* not used by messages: r0.5 has MEDIA_VFE_STATE's pointer in it */
	uint64_t instruction_base;
	const struct hp_memory *memory;
	const struct hp_space *space;
	void *walker; /* `walk`, after eu_forget */
	uint64_t statistics[16];
	uint64_t binding_table; /* GPU address */
	uint64_t sampler_table; /* GPU address */
	uint64_t walk[8];
	uint32_t host_modes; /* of MXCSR, without the flags of exceptions */
	uint32_t reserved32;
	uint64_t reserved[5];
	struct eu_buffer buffers[256]; /* by binding table index; 253 and 255 are stateless */
};

/* What a kernel returns; any other number names the place where to go on, in its two low bits what
 * stands there. EU_PARTED comes from kernels of two threads alone. */
enum { EU_ENDED = 0, EU_FAULT = 0xffffffff, EU_PARTED = 0x20000000 };
enum { EU_PLACE_KIND = 3, EU_APART = 3 };

/* A compiled kernel: runs `thread` until it ends, waits at a barrier, or its budget is spent. It
 * leaves the host's floating-point modes as the thread wants them, and `host_modes` says so: the
 * next thread mostly wants the same. One that ends without having left before, so with `resume` 0,
 * has not written `grf`. */
typedef uint32_t eu_kernel(struct eu_thread *thread, struct eu_group *group,
			   struct eu_worker *worker);

/* One of two threads: `thread` and the one behind it, which have the same `resume` and the same
 * cr0[0]. What it returns is of both, but EU_PARTED: then `resume` of each says where it goes on.
 * Where that is EU_APART another kernel than usual goes on, which was made for that. */

/* Around calls of kernels: what eu_modes_begin gives goes to eu_modes_end on the same host thread. */
uint32_t eu_modes_begin(struct eu_worker *worker);
void eu_modes_end(uint32_t before);

/* One call with both around it. */
uint32_t eu_call(eu_kernel *kernel, struct eu_thread *thread, struct eu_group *group,
		 struct eu_worker *worker);

/* Carry out a message of a thread. `payload` and `more` point at whole GRFs, as many as the
 * descriptors say; `response` at as many as come back, which hold what the registers held before.
 * `mask`: active channels, from the message's first channel on (bit 0), so of 16 or 8 of them. */
void eu_send(struct eu_worker *worker, struct eu_group *group, struct eu_thread *thread,
	     uint32_t sfid, uint32_t descriptor, uint32_t extended, const uint8_t *payload,
	     const uint8_t *more, uint8_t *response, uint32_t mask);

/* An eu_kernel that is no guest's: a pixel shader's thread which writes the clear colour of the first
 * surface of the binding table. */
uint32_t eu_clear(struct eu_thread *thread, struct eu_group *group, struct eu_worker *worker);

/* Begin anew: no translation, no buffer and no fault is known. */
void eu_forget(struct eu_worker *worker);

/* Host address of the byte at a GPU address, for reading; NULL after a fault, which is recorded. */
const uint8_t *eu_readable(struct eu_worker *worker, uint64_t address);

/* The same for writing; NULL too where the page is read-only (discard the write) or a dirty log
 * records (use eu_store). */
uint8_t *eu_writable(struct eu_worker *worker, uint64_t address);

/* `size` (1, 2, 4, 8) bytes at any GPU address. */
uint64_t eu_load(struct eu_worker *worker, uint64_t address, uint32_t size);
void eu_store(struct eu_worker *worker, uint64_t address, uint32_t size, uint64_t value);

/* The buffer of a binding table index, looked up if it is not known. Not for 252 and 254. */
const struct eu_buffer *eu_buffer_at(struct eu_worker *worker, uint32_t index);

/* Pieces of eu_send that compiled code may call by name. `lanes` is 8 or 16; `mask` has the active
 * ones. `channels`: 1, 2, 3 or 4, all enabled from x on. Data is channel-major, a dword a lane;
 * lanes that are not active keep what they hold. `index` may be 254: SLM. */
void eu_untyped_read(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		     const uint32_t *offsets, uint32_t lanes, uint32_t channels, uint32_t mask,
		     uint32_t *data);
void eu_untyped_write(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		      const uint32_t *offsets, uint32_t lanes, uint32_t channels, uint32_t mask,
		      const uint32_t *data);
void eu_global_read(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
		    uint32_t channels, uint32_t mask, uint32_t *data);
void eu_global_write(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
		     uint32_t channels, uint32_t mask, const uint32_t *data);

/* `size` is 1, 2 or 4 bytes in a dword a lane, zero-extended when read; `size` 8: qwords. */
void eu_scattered_read(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		       const uint32_t *offsets, uint32_t lanes, uint32_t size, uint32_t mask,
		       uint32_t *data);
void eu_scattered_write(struct eu_worker *worker, struct eu_group *group, uint32_t index,
			const uint32_t *offsets, uint32_t lanes, uint32_t size, uint32_t mask,
			const uint32_t *data);
void eu_global_scattered_read(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
			      uint32_t size, uint32_t mask, uint32_t *data);
void eu_global_scattered_write(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
			       uint32_t size, uint32_t mask, const uint32_t *data);

/* `dwords` dwords from byte `offset` on, each inside the buffer or 0. */
void eu_block_read(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		   uint64_t offset, uint32_t dwords, uint32_t *data);
void eu_block_write(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		    uint64_t offset, uint32_t dwords, const uint32_t *data);
void eu_global_block_read(struct eu_worker *worker, uint64_t address, uint32_t dwords,
			  uint32_t *data);
void eu_global_block_write(struct eu_worker *worker, uint64_t address, uint32_t dwords,
			   const uint32_t *data);

/* `operation` is the code of an atomic message, `size` 4 or 8; `floating`: a float operation.
 * `first`, `second` and `old` have a dword or qword a lane; operands that the operation does not have
 * may be NULL, and `old` when nothing is to be returned. */
void eu_untyped_atomic(struct eu_worker *worker, struct eu_group *group, uint32_t index,
		       const uint32_t *offsets, uint32_t lanes, uint32_t operation,
		       uint32_t floating, uint32_t mask, const void *first, const void *second,
		       void *old);
void eu_global_atomic(struct eu_worker *worker, const uint64_t *addresses, uint32_t lanes,
		      uint32_t size, uint32_t operation, uint32_t floating, uint32_t mask,
		      const void *first, const void *second, void *old);
