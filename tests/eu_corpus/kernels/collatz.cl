/* Lanes leave the loop one by one. */
kernel void collatz(global const uint *in, global uint *out)
{
	size_t i = get_global_id(0);
	uint n = in[i], steps = 0;
	while (n > 1) {
		n = (n & 1) ? 3 * n + 1 : n >> 1;
		steps++;
	}
	out[i] = steps;
}
