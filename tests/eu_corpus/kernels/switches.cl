kernel void switches(global const int *in, global int *out)
{
	size_t i = get_global_id(0);
	int x = in[i], r = 0;
	for (int k = 0; k < x; k++) {
		if (k == 7)
			continue;
		switch ((x + k) & 7) {
		case 0:
			r += 3;
			break;
		case 1:
			r *= 5;
			break;
		case 2:
			r -= x;
			/* fall through */
		case 3:
			r ^= k;
			break;
		case 4:
			if (r > 1000) {
				out[i] = -r;
				return;
			}
			r++;
			break;
		default:
			r += k;
		}
	}
	out[i] = r;
}
