kernel void mandelbrot(global uint *out, int width, int rounds, float left, float top, float step)
{
	int x = get_global_id(0), y = get_global_id(1);
	float cr = fma((float)x, step, left), ci = fma((float)y, step, top);
	float zr = 0.0f, zi = 0.0f;
	int n = 0;
	while (n < rounds) {
		float zi2 = zi * zi;
		if (fma(zr, zr, zi2) >= 4.0f)
			break;
		float t = fma(zr, zr, cr - zi2);
		zi = fma(2.0f * zr, zi, ci);
		zr = t;
		n++;
	}
	out[y * width + x] = n;
}
