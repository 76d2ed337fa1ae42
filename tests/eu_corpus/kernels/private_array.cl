/* Too large and too freely indexed for registers. */
kernel void private_array(global const int *in, global int *out, int rounds)
{
	size_t i = get_global_id(0);
	int store[64];
	int x = in[i];
	for (int k = 0; k < 64; k++)
		store[k] = x + k * k;
	for (int k = 0; k < rounds; k++) {
		int at = x & 63;
		store[at] += store[(at * 7 + k) & 63] ^ k;
		x = store[(x >> 3) & 63] + k;
	}
	int sum = 0;
	for (int k = 0; k < 64; k++)
		sum = sum * 31 + store[k];
	out[i] = sum;
}
