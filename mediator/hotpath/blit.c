/* Rectangles: twin of reference.blit, piece for piece, so that a fault leaves the same bytes. */
#include <stdbool.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "hotpath.h"

#define ALL_BITS UINT32_C(0xffffffff)

enum { ROP_PATTERN = 0xf0, ROP_SOURCE = 0xcc };
enum { LINE = 64, PREFETCH_BYTES = 2048 };
enum { X_TILE_SHIFT = 9, X_ROWS_SHIFT = 3 };
enum { Y_TILE_SHIFT = 7, Y_ROWS_SHIFT = 5, Y_COLUMN_SHIFT = 4 };

struct state {
	const struct hp_memory *memory;
	const struct hp_space *space;
	const struct hp_blit *job;
	struct hp_fault *fault;
	int reads_destination;
};

/* Pages that are contiguous for the GPU, the guest and the host. */
struct span {
	uint64_t start; /* GPU address */
	uint64_t size; /* bytes, 0: none */
	uint64_t physical;
	struct hp_memory_at at; /* no memory there: one page only */
	int32_t writable;
};

/* Where a surface was last used, and the page after it if that lies elsewhere. */
struct window {
	struct span span;
	struct span next;
	struct hp_walker walker;
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int refuse(const struct state *state, uint64_t address, bool write, int kind)
{
	state->fault->address = address;
	state->fault->write = write;
	return kind;
}

/* The page at GPU address `page` into `span`: 0 or a negative hp_fault_kind. */
static int open_page(const struct state *state, struct window *window, uint64_t page,
		     struct span *span)
{
	int error = hp_walk(state->memory, state->space, &window->walker, page, &span->physical,
			    &span->writable);

	span->size = 0;
	if (error)
		return error;
	span->at = hp_find(state->memory, span->physical, &window->walker.range);
	span->start = page;
	span->size = HP_PAGE_SIZE;
	return 0;
}

/* Add the pages that go on where the span ends, while `wanted` bytes are not yet inside. */
static void extend(const struct state *state, struct window *window, uint64_t wanted)
{
	struct span *span = &window->span;
	uint64_t physical = 0;
	int32_t writable = 0;

	window->next.size = 0;
	while (span->at.host && span->size < wanted) {
		uint64_t address = span->start + span->size;

		if (address > state->space->mask ||
		    hp_walk(state->memory, state->space, &window->walker, address, &physical,
			    &writable))
			return;
		if (physical != span->physical + span->size || writable != span->writable ||
		    span->size >= span->at.room) {
			window->next.physical = physical;
			window->next.writable = writable;
			window->next.at =
				hp_find(state->memory, physical, &window->walker.range);
			window->next.start = address;
			window->next.size = HP_PAGE_SIZE;
			return;
		}
		span->size += HP_PAGE_SIZE;
	}
}

/* The processor's own prefetch ends with a page: bring in the start of the page after. */
static void prefetch(const struct span *next)
{
	if (next->size && next->at.host)
		for (unsigned done = 0; done < PREFETCH_BYTES; done += LINE)
			__builtin_prefetch(next->at.host + done, 0, 2);
}

/* Have `address` in the window, and as many of `wanted` bytes from there on as lie together. */
static int open_window(const struct state *state, struct window *window, uint64_t address,
		       uint64_t wanted, bool write)
{
	struct span *span = &window->span;
	uint64_t page = address & ~(uint64_t)(HP_PAGE_SIZE - 1);

	if (address - span->start < span->size)
		return 0;
	if (window->next.size && window->next.start == page) {
		*span = window->next;
	} else {
		int error = open_page(state, window, page, span);

		if (error)
			return refuse(state, address, write, error);
	}
	extend(state, window, address - page + wanted);
	return 0;
}

/* GPU address of byte column `x` of row `y`; `reach` = bytes that follow it contiguously. */
static uint64_t locate(const struct hp_surface *surface, int64_t x, int64_t y, uint64_t mask,
		       uint64_t *reach)
{
	uint64_t address = surface->base;

	/* Right shifts of negative numbers round down (gcc, clang): tiles left of or above 0. */
	if (surface->tiling == HP_LINEAR) {
		address += (uint64_t)(y * surface->pitch + x);
		*reach = UINT64_MAX;
	} else if (surface->tiling == HP_TILE_X) {
		uint64_t line = (uint64_t)y & ((1 << X_ROWS_SHIFT) - 1);
		uint64_t within = (uint64_t)x & ((1 << X_TILE_SHIFT) - 1);

		address += (uint64_t)((y >> X_ROWS_SHIFT) * surface->pitch * (1 << X_ROWS_SHIFT));
		address += (uint64_t)((x >> X_TILE_SHIFT) * HP_PAGE_SIZE);
		address += (line << X_TILE_SHIFT) + within;
		*reach = (1 << X_TILE_SHIFT) - within;
	} else {
		uint64_t line = (uint64_t)y & ((1 << Y_ROWS_SHIFT) - 1);
		uint64_t column = ((uint64_t)x & ((1 << Y_TILE_SHIFT) - 1)) >> Y_COLUMN_SHIFT;
		uint64_t within = (uint64_t)x & ((1 << Y_COLUMN_SHIFT) - 1);

		address += (uint64_t)((y >> Y_ROWS_SHIFT) * surface->pitch * (1 << Y_ROWS_SHIFT));
		address += (uint64_t)((x >> Y_TILE_SHIFT) * HP_PAGE_SIZE);
		address += (column << (Y_COLUMN_SHIFT + Y_ROWS_SHIFT)) + (line << Y_COLUMN_SHIFT);
		address += within;
		*reach = (1 << Y_COLUMN_SHIFT) - within;
	}
	return address & mask;
}

/* `dword` as it repeats from byte `done` of the row on. */
static uint32_t repeat_from(uint32_t dword, uint64_t done)
{
	unsigned bits = 8 * (unsigned)(done & 3);

	return bits ? dword >> bits | dword << (32 - bits) : dword;
}

#ifdef __SSE2__
/* Bytes up to the next cache line of `target`, at most `count`. */
static uint64_t to_line(const uint8_t *target, uint64_t count)
{
	return smaller(count, -(uintptr_t)target & (LINE - 1));
}

/* As memmove of areas apart, past the caches: for what would only wash them out. */
static void stream_copy(uint8_t *target, const uint8_t *source, uint64_t count)
{
	uint64_t head = to_line(target, count);

	memmove(target, source, head);
	uint64_t done = head;
	for (; count - done >= LINE; done += LINE) {
		__m128i part[LINE / sizeof(__m128i)];

		memcpy(part, source + done, LINE);
		for (unsigned i = 0; i < LINE / sizeof(__m128i); i++)
			_mm_stream_si128((__m128i *)(void *)(target + done) + i, part[i]);
	}
	memmove(target + done, source + done, count - done);
}

static void stream_end(void)
{
	_mm_sfence(); /* whoever sees what we write next must see these stores too */
}
#else
static void stream_copy(uint8_t *target, const uint8_t *source, uint64_t count)
{
	memmove(target, source, count);
}

static void stream_end(void)
{
}
#endif

/* Repeat `dword` over the target; past the caches when `stream`. */
static void fill(uint8_t *target, uint64_t count, uint32_t dword, bool stream)
{
	uint32_t line[LINE / sizeof(dword)];

	if (dword == (dword & 0xff) * UINT32_C(0x01010101) && !stream) {
		memset(target, (int)(dword & 0xff), count);
		return;
	}
	for (unsigned i = 0; i < LINE / sizeof(dword); i++)
		line[i] = dword;
#ifdef __SSE2__
	if (stream) {
		uint64_t head = to_line(target, count);

		memcpy(target, line, head);
		target += head;
		count -= head;
		__m128i four = _mm_set1_epi32((int)repeat_from(dword, head));
		for (; count >= LINE; count -= LINE, target += LINE)
			for (unsigned i = 0; i < LINE / sizeof(four); i++)
				_mm_stream_si128((__m128i *)(void *)target + i, four);
		_mm_storeu_si128((__m128i *)(void *)line, four);
		_mm_storeu_si128((__m128i *)(void *)line + 1, four);
		_mm_storeu_si128((__m128i *)(void *)line + 2, four);
		_mm_storeu_si128((__m128i *)(void *)line + 3, four);
	}
#endif
	for (; count >= LINE; count -= LINE, target += LINE)
		memcpy(target, line, LINE);
	memcpy(target, line, count);
}

/* Any raster operation under a write mask; `source` is NULL when there is none. */
static void combine(uint8_t *target, const uint8_t *source, uint64_t count, uint8_t rop,
		    uint32_t pattern_dword, uint32_t mask_dword)
{
	const uint64_t pattern = (uint64_t)pattern_dword << 32 | pattern_dword;
	const uint64_t mask = (uint64_t)mask_dword << 32 | mask_dword;
	/* The function of source and destination that the pattern's bits pick, one term a pair. */
	uint64_t term[4];

	for (unsigned pair = 0; pair < 4; pair++) {
		uint64_t with = rop >> (4 + pair) & 1 ? pattern : 0;
		uint64_t without = rop >> pair & 1 ? ~pattern : 0;

		term[pair] = with | without;
	}
	while (count) {
		uint64_t size = smaller(count, sizeof(uint64_t));
		uint64_t s = 0;
		uint64_t d = 0;

		if (size == sizeof(uint64_t)) {
			memcpy(&d, target, sizeof(d));
			if (source)
				memcpy(&s, source, sizeof(s));
		} else {
			memcpy(&d, target, size);
			if (source)
				memcpy(&s, source, size);
		}
		uint64_t new = (term[0] & ~s & ~d) | (term[1] & ~s & d) | (term[2] & s & ~d) |
			       (term[3] & s & d);
		new = (new & mask) | (d & ~mask);
		if (size == sizeof(uint64_t))
			memcpy(target, &new, sizeof(new));
		else
			memcpy(target, &new, size);
		target += size;
		if (source)
			source += size;
		count -= size;
	}
}

static void mark_run(const struct state *state, uint64_t physical, uint64_t count)
{
	uint64_t last = physical + count - 1;

	if (!state->memory->dirty)
		return;
	for (uint64_t page = physical >> HP_PAGE_SHIFT; page <= last >> HP_PAGE_SHIFT; page++)
		hp_mark(state->memory, page << HP_PAGE_SHIFT);
}

/* Combine up to `count` bytes into the destination; `count` becomes the bytes done. */
static int combine_run(const struct state *state, struct window *window, uint64_t address,
		       const uint8_t *source, uint64_t done, uint64_t *count)
{
	const struct hp_blit *job = state->job;
	int whole = job->write_mask == ALL_BITS;

	int error = open_window(state, window, address, *count, 1);
	if (error)
		return error;
	uint64_t offset = address - window->span.start;
	*count = smaller(*count, window->span.size - offset);
	if (!window->span.writable)
		return 0;
	unsigned needed = HP_WRITABLE | (state->reads_destination ? HP_READABLE : 0);
	if (!window->span.at.host || (window->span.at.flags & needed) != needed)
		return refuse(state, address, 1, HP_PAGE_NOT_IN_MEMORY);
	uint8_t *target = window->span.at.host + offset;
	if (!job->mark_only) {
		uint32_t pattern = repeat_from(job->pattern, done);

		if (job->rop == ROP_SOURCE && whole && source && job->stream)
			stream_copy(target, source, *count);
		else if (job->rop == ROP_SOURCE && whole && source)
			memmove(target, source, *count);
		else if (job->rop == ROP_PATTERN && whole)
			fill(target, *count, pattern, job->stream);
		else
			combine(target, source, *count, job->rop, pattern,
				repeat_from(job->write_mask, done));
	}
	mark_run(state, window->span.physical + offset, *count);
	return 0;
}

/* The readable host bytes at GPU `address`; `count` becomes how many lie together. */
static int open_source(const struct state *state, struct window *window, uint64_t address,
		       const uint8_t **source, uint64_t *count)
{
	int error = open_window(state, window, address, *count, 0);
	if (error)
		return error;
	if (!window->span.at.host || !(window->span.at.flags & HP_READABLE))
		return refuse(state, address, 0, HP_PAGE_NOT_IN_MEMORY);
	uint64_t offset = address - window->span.start;
	*source = window->span.at.host + offset;
	*count = smaller(*count, window->span.size - offset);
	return 0;
}

static int stage_row(const struct state *state, struct window *from, int64_t row,
		     uint64_t width, uint8_t *scratch)
{
	const struct hp_blit *job = state->job;
	uint64_t count;

	for (uint64_t done = 0; done < width; done += count) {
		const uint8_t *source;
		uint64_t address = locate(&job->source, job->source_x + (int64_t)done,
					  job->source_y + row, state->space->mask, &count);

		count = smaller(count, width - done);
		int error = open_source(state, from, address, &source, &count);
		if (error)
			return error;
		memcpy(scratch + done, source, count);
	}
	return 0;
}

static int blit_row(const struct state *state, struct window *from, struct window *to,
		    int64_t row, uint64_t width, uint8_t *scratch)
{
	const struct hp_blit *job = state->job;
	uint64_t mask = state->space->mask;
	uint64_t count;
	int error;

	if (job->staged && job->has_source) {
		error = stage_row(state, from, row, width, scratch);
		if (error)
			return error;
	}
	for (uint64_t done = 0; done < width; done += count) {
		const uint8_t *source = NULL;
		int64_t column = job->x + (int64_t)done;
		uint64_t address = locate(&job->destination, column, job->y + row, mask, &count);

		count = smaller(count, width - done);
		if (job->has_source && job->staged) {
			source = scratch + done;
		} else if (job->has_source) {
			uint64_t reach;
			uint64_t origin = locate(&job->source, job->source_x + (int64_t)done,
						 job->source_y + row, mask, &reach);

			count = smaller(count, reach);
			error = open_source(state, from, origin, &source, &count);
			if (error)
				return error;
			if (job->stream)
				prefetch(&from->next);
		}
		error = combine_run(state, to, address, source, done, &count);
		if (error)
			return error;
	}
	return 0;
}

/* Rows that follow each other without a gap are one long row. */
static int seamless(const struct hp_blit *job)
{
	int64_t width = (int64_t)job->width;

	if (job->staged || job->upwards || width % 4)
		return 0;
	if (job->destination.tiling != HP_LINEAR || job->destination.pitch != width)
		return 0;
	return !job->has_source ||
	       (job->source.tiling == HP_LINEAR && job->source.pitch == width);
}

int64_t hp_blit(const struct hp_memory *memory, const struct hp_space *space,
		const struct hp_blit *job, uint8_t *scratch, size_t scratch_size,
		struct hp_fault *fault)
{
	struct window from = {.walker = {.table = NULL}};
	struct window to = {.walker = {.table = NULL}};
	struct state state = {memory, space, job, fault, 0};
	uint64_t width = job->width;
	uint64_t height = job->height;

	if (width >> 32 || height >> 31 || (job->staged && job->has_source && scratch_size < width))
		return HP_BAD_ARGUMENT;
	state.reads_destination = job->write_mask != ALL_BITS ||
				  ((job->rop >> 1) & 0x55) != (job->rop & 0x55);
	if (seamless(job)) {
		width *= height;
		height = height ? 1 : 0;
	}
	int error = 0;
	for (uint64_t done = 0; done < height && !error; done++) {
		int64_t row = (int64_t)(job->upwards ? height - 1 - done : done);

		error = blit_row(&state, &from, &to, row, width, scratch);
	}
	if (job->stream)
		stream_end();
	return error ? error : (int64_t)job->height;
}
