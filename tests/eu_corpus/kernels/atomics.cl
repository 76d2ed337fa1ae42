/* Each result is the same in whatever order the work items come. */
kernel void atomics(global const int *in, global int *cells, global int *marks)
{
	size_t i = get_global_id(0);
	int x = in[i];
	atomic_add(&cells[0], x);
	atomic_sub(&cells[1], x);
	atomic_inc(&cells[2]);
	atomic_dec(&cells[3]);
	atomic_min(&cells[4], x);
	atomic_max(&cells[5], x);
	atomic_and(&cells[6], ~(1 << (x & 7)));
	atomic_or(&cells[7], 1 << (x & 31));
	atomic_xor(&cells[8], x);
	atomic_min((global uint *)&cells[9], (uint)x);
	atomic_max((global uint *)&cells[10], (uint)x);
	int seen = cells[11], before;
	do {
		before = seen;
		seen = atomic_cmpxchg(&cells[11], before, before + (x & 3));
	} while (seen != before);
	marks[atomic_inc(&cells[12])] = 1;
	atomic_xchg(&cells[13], 5);
}
