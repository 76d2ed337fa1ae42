/* Nested loops that lanes enter, skip and leave at different times. */
kernel void divergent(global const uint *in, global uint *out)
{
	size_t i = get_global_id(0);
	uint x = in[i], y = x >> 8, sum = 0;
	for (uint a = 0; a < (x & 15); a++) {
		if ((a ^ y) & 1) {
			for (uint b = 0; b < (y & 7); b++) {
				if (b == a)
					continue;
				sum += a * b + 1;
				if (sum > 200)
					break;
			}
		} else {
			uint c = y & 31;
			do {
				sum ^= c;
				c = c > 3 ? c - 3 : 0;
			} while (c);
		}
		if (sum == 77)
			break;
	}
	uint p = x | 1, q = (y & 1023) | 1;
	while (p != q) {
		if (p > q)
			p -= q * max(1u, (p - q) / q);
		else
			q -= p * max(1u, (q - p) / p);
	}
	out[i] = sum * 65536 + p;
}
