/* What Python calls; build.py reads this file too, so: declarations only. */

extern const char hp_sources[]; /* their version: native_sources.py */

/* Negative results; the numbers are those of interface.FaultKind. */
enum hp_fault_kind {
	HP_NOT_PRESENT = -1,
	HP_BEYOND_39_BITS = -2,
	HP_TABLE_NOT_IN_MEMORY = -3,
	HP_PAGE_NOT_IN_MEMORY = -4,
	HP_BAD_ARGUMENT = -5,
	HP_TABLES_FULL = -6
};

enum hp_tiling { HP_LINEAR = 0, HP_TILE_X = 1, HP_TILE_Y = 2 };

/* GuestMemory.table (rows of four qwords, sorted) and its dirty log (NULL: not recording). */
struct hp_memory {
	const uint64_t *table;
	size_t ranges;
	uint8_t *dirty;
	size_t dirty_pages;
};

/* A GPU address space: the GGTT when `entries` is set, else the PPGTT under `root`. */
struct hp_space {
	const uint64_t *entries;
	size_t entry_count;
	uint64_t root;
	uint64_t mask;
};

struct hp_surface {
	uint64_t base;
	int64_t pitch;
	int32_t tiling;
};

/* interface.Blit; `has_source` is 0 when there is none, `stream` writes past the processor's caches,
 * `mark_only` writes the dirty log alone. */
struct hp_blit {
	struct hp_surface destination;
	struct hp_surface source;
	int64_t x;
	int64_t y;
	int64_t source_x;
	int64_t source_y;
	uint64_t width;
	uint64_t height;
	uint32_t pattern;
	uint32_t write_mask;
	uint8_t rop;
	uint8_t has_source;
	uint8_t upwards;
	uint8_t staged;
	uint8_t stream;
	uint8_t mark_only;
};

struct hp_fault {
	uint64_t address;
	int32_t write;
};

/* The page of `address` (already masked): 0, or a negative hp_fault_kind. */
int hp_translate(const struct hp_memory *memory, const struct hp_space *space, uint64_t address,
		 uint64_t *physical, int32_t *writable);

/* Rows done, or a negative hp_fault_kind with `fault` set. `scratch` holds a row when staged. */
int64_t hp_blit(const struct hp_memory *memory, const struct hp_space *space,
		const struct hp_blit *job, uint8_t *scratch, size_t scratch_size,
		struct hp_fault *fault);

/* Carry out MI_STORE_DATA_IMM commands of `header` (one dword each) that all write the GPU page
 * `page`, which is at `target`; stops before the first other command. The number done. */
size_t hp_store_run(const uint32_t *commands, size_t dwords, uint32_t header, uint64_t mask,
		    uint64_t page, uint32_t *target, size_t target_dwords);

/* Compare and exchange `size` (4, 8, 16) bytes at guest physical `address`: 1 exchanged, 0 not,
 * or a negative hp_fault_kind. `expected` becomes what was found. */
int hp_compare_exchange(const struct hp_memory *memory, uint64_t address, size_t size,
			uint8_t *expected, const uint8_t *desired);

/* Copy `size` bytes of a GPU address space from `address` on: as many as can be read before the first
 * page that cannot. */
uint64_t hp_read_space(const struct hp_memory *memory, const struct hp_space *space,
		       uint64_t address, uint8_t *copy, size_t size);

/* Pass over commands from dword `at` of `count` on, as far as `entries` (65536, by bits 31:16 of the
 * header; reference.pack_entry) have one; the dword of the first that is not passed. `begins` becomes
 * 1 where each begins, `commands` their number without MI_NOOP. */
size_t hp_skip_commands(const uint32_t *dwords, size_t count, size_t at, const uint64_t *entries,
			uint8_t *begins, size_t *commands);

/* Compare the guest's pages at the `count` guest physical addresses `pages` with `copy`, page after
 * page: `differs[n]` becomes 1 where they differ or no readable memory is, else 0. */
void hp_compare_pages(const struct hp_memory *memory, const uint64_t *pages, size_t count,
		      const uint8_t *copy, uint8_t *differs);

/* interface.ShadowTables: `tables` and `copies` are pages of 512 entries, `slots` of each. */
struct hp_shadow {
	uint64_t *tables;
	uint64_t *copies;
	uint64_t *nodes;
	size_t slots;
	uint32_t *index;
	size_t index_size;
	uint64_t *counts;
	uint64_t iova;
	uint64_t window_base;
	uint64_t window_size;
	uint64_t multiplier;
	uint32_t rescan;
};

/* Bring the shadow of the tables under guest physical `pml4` up to date: the slot of the shadow
 * PML4, or a negative hp_fault_kind. */
int64_t hp_shadow_sync(const struct hp_memory *memory, const struct hp_shadow *shadow,
		       uint64_t pml4);

/* Free every slot that the shadows of the PML4s at `roots` do not reach. */
void hp_shadow_keep(const struct hp_shadow *shadow, const uint64_t *roots, size_t count);
