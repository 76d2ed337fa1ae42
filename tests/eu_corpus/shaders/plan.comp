#version 450
/* Says how many groups the next step shall have. */
layout(local_size_x = 1) in;
layout(std430, binding = 0) buffer Counts { uint unused[4]; uint groups[3]; };
layout(push_constant) uniform Constants { uvec3 wanted; };

void main()
{
	for (int i = 0; i < 3; i++)
		groups[i] = wanted[i];
}
