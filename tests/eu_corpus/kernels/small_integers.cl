kernel void small_integers(global const char *a, global const short *b, global char *c,
			   global short *d, global uchar4 *e)
{
	size_t i = get_global_id(0);
	char x = a[i];
	short y = b[i];
	c[i] = add_sat(x, (char)y);
	d[i] = sub_sat(y, (short)(x * 256));
	e[i] = (uchar4)(abs(x), hadd((uchar)x, (uchar)y), rhadd((uchar)x, (uchar)y),
			convert_uchar_sat(y));
}
