/* xorshift with a counter: integer ALU alone. */
kernel void intloop(global const uint *in, global uint *out, int rounds)
{
	size_t i = get_global_id(0);
	uint x = in[i];
	for (int k = 0; k < rounds; k++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		x += (uint)k;
	}
	out[i] = x;
}
