/* Wide and unaligned loads and stores. */
kernel void vectors(global const int *in, global int *out, int n)
{
	int i = get_global_id(0);
	int4 a = vload4(i, in);
	int3 b = vload3(i, in + 1);
	int8 c = vload8(i / 2, in);
	vstore4(a.wxyz + (int4)(b, c.s7), i, out);
	vstore3((int3)(a.x, b.y, c.s3), i, out + 4 * n);
	vstore2(c.s15 - a.zw, i, out + 7 * n);
}
