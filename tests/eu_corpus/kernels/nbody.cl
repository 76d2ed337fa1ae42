kernel void nbody(global const float4 *bodies, global float4 *accelerations, int count)
{
	size_t i = get_global_id(0);
	float4 me = bodies[i];
	float3 sum = (float3)(0.0f);
	for (int k = 0; k < count; k++) {
		float4 other = bodies[k];
		float3 d = other.xyz - me.xyz;
		float r2 = d.x * d.x + d.y * d.y + d.z * d.z + 0.01f;
		float inverse = rsqrt(r2);
		sum += d * (other.w * inverse * inverse * inverse);
	}
	accelerations[i] = (float4)(sum, 0.0f);
}
