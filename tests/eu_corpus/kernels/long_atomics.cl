#pragma OPENCL EXTENSION cl_khr_int64_base_atomics : enable
#pragma OPENCL EXTENSION cl_khr_int64_extended_atomics : enable
kernel void long_atomics(global const long *in, global long *cells)
{
	size_t i = get_global_id(0);
	long x = in[i];
	atom_add(&cells[0], x);
	atom_inc(&cells[1]);
	atom_min(&cells[2], x);
	atom_max(&cells[3], x);
	atom_xor(&cells[4], x);
	atom_or((global ulong *)&cells[5], (ulong)x);
}
