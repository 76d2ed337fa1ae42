#version 450
/* Sorts sixteen numbers in a private array, with loops that diverge. */
layout(local_size_x = 32) in;
layout(std430, binding = 0) buffer Data { int data[][16]; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	int own[16];
	for (int k = 0; k < 16; k++)
		own[k] = data[i][k];
	for (int k = 1; k < 16; k++) {
		int x = own[k], at = k;
		while (at > 0 && own[at - 1] > x) {
			own[at] = own[at - 1];
			at--;
		}
		own[at] = x;
	}
	for (int k = 0; k < 16; k++)
		data[i][k] = own[k];
}
