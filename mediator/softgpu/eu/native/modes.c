/* The host's rounding and denormal modes around compiled kernels. Source: Intel SDM vol 1 "MXCSR". */
#include "eu.h"

enum { FLAGS = 0x3f }; /* of exceptions that have happened: no modes */

#ifdef __x86_64__
#include <xmmintrin.h>
#else /* no kernel is compiled there */
static uint32_t _mm_getcsr(void)
{
	return 0;
}

static void _mm_setcsr(uint32_t modes)
{
	(void)modes;
}
#endif

uint32_t eu_modes_begin(struct eu_worker *worker)
{
	uint32_t before = _mm_getcsr();

	worker->host_modes = before & ~(uint32_t)FLAGS;
	return before;
}

void eu_modes_end(uint32_t before)
{
	_mm_setcsr(before);
}

uint32_t eu_call(eu_kernel *kernel, struct eu_thread *thread, struct eu_group *group,
		 struct eu_worker *worker)
{
	uint32_t before = eu_modes_begin(worker);
	uint32_t came = kernel(thread, group, worker);

	eu_modes_end(before);
	return came;
}
