/* Page tables: bit positions and levels are those of gen9/pte.py. */
#ifndef VGPU_PAGE_TABLE_H
#define VGPU_PAGE_TABLE_H

#include <stdint.h>

#define PRESENT (UINT64_C(1) << 0)
#define WRITABLE (UINT64_C(1) << 1)
#define LARGE_PAGE (UINT64_C(1) << 7)
#define PAGES_64K (UINT64_C(1) << 11)
#define ADDRESS_MASK UINT64_C(0x0000007ffffff000)
#define BEYOND_MASK UINT64_C(0x00003f8000000000)

enum { PML4_SHIFT = 39, PDP_SHIFT = 30, PD_SHIFT = 21, PT_SHIFT = 12 };
enum { INDEX_BITS = 9, TABLE_ENTRIES = 1 << INDEX_BITS, INDEX_MASK = TABLE_ENTRIES - 1 };
enum { STEP_64K = 16, SHIFT_64K = 16 };

#endif
