/* An OpenCL program: three kernels on the first GPU, answers compared with the processor's.
 *
 * Prints a line for each kernel, "pass NAME" or "fail NAME: why", and the device's name before.
 * The library is opened at run time, so that nothing has to be linked against.
 */

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 4096, GROUP = 64, SIDE = 32, TILE = 8, PLATFORMS = 8 };

static const char SOURCE[] =
	"kernel void xorshift(global const uint *in, global uint *out, uint rounds)\n"
	"{\n"
	"	uint x = in[get_global_id(0)];\n"
	"	for (uint k = 0; k < rounds; k++) {\n"
	"		x ^= x << 13; x ^= x >> 17; x ^= x << 5; x += k;\n"
	"	}\n"
	"	out[get_global_id(0)] = x;\n"
	"}\n"
	"kernel void group_sums(global const uint *in, global uint *out, uint unused)\n"
	"{\n"
	"	local uint part[64];\n"
	"	uint l = get_local_id(0);\n"
	"	part[l] = in[get_global_id(0)];\n"
	"	for (uint d = 32; d; d >>= 1) {\n"
	"		barrier(CLK_LOCAL_MEM_FENCE);\n"
	"		if (l < d)\n"
	"			part[l] += part[l + d];\n"
	"	}\n"
	"	if (!l)\n"
	"		out[get_group_id(0)] = part[0] + unused;\n"
	"}\n"
	"kernel void product(global const uint *in, global uint *out, uint n)\n"
	"{\n"
	"	local float a[8][8], b[8][8];\n"
	"	uint x = get_local_id(0), y = get_local_id(1);\n"
	"	float sum = 0;\n"
	"	for (uint t = 0; t < n; t += 8) {\n"
	"		a[y][x] = in[get_global_id(1) * n + t + x] & 15;\n"
	"		b[y][x] = in[(t + y) * n + get_global_id(0)] & 15;\n"
	"		barrier(CLK_LOCAL_MEM_FENCE);\n"
	"		for (uint k = 0; k < 8; k++)\n"
	"			sum += a[y][k] * b[k][x];\n"
	"		barrier(CLK_LOCAL_MEM_FENCE);\n"
	"	}\n"
	"	out[get_global_id(1) * n + get_global_id(0)] = sum;\n"
	"}\n";

static void *library;

#define CALL(name) ((__typeof__(&name))found(#name))

static void *found(const char *name)
{
	void *function = dlsym(library, name);

	if (!function) {
		printf("fail library: no %s\n", name);
		exit(1);
	}
	return function;
}

static void must(cl_int status, const char *what)
{
	if (status != CL_SUCCESS) {
		printf("fail %s: OpenCL error %d\n", what, status);
		exit(1);
	}
}

static cl_device_id first_gpu(void)
{
	cl_platform_id platforms[PLATFORMS];
	cl_uint count = 0;
	cl_device_id device;

	must(CALL(clGetPlatformIDs)(PLATFORMS, platforms, &count), "platforms");
	for (cl_uint i = 0; i < count && i < PLATFORMS; i++)
		if (CALL(clGetDeviceIDs)(platforms[i], CL_DEVICE_TYPE_GPU, 1, &device, NULL) ==
		    CL_SUCCESS)
			return device;
	printf("fail device: no GPU on %u platforms\n", count);
	exit(1);
}

static uint32_t xorshift(uint32_t x, uint32_t rounds)
{
	for (uint32_t k = 0; k < rounds; k++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		x += k;
	}
	return x;
}

static void expect_xorshift(const uint32_t *in, uint32_t *out)
{
	for (int i = 0; i < ITEMS; i++)
		out[i] = xorshift(in[i], 50);
}

static void expect_sums(const uint32_t *in, uint32_t *out)
{
	for (int i = 0; i < ITEMS; i++)
		out[i / GROUP] += in[i];
}

static void expect_product(const uint32_t *in, uint32_t *out)
{
	for (int y = 0; y < SIDE; y++)
		for (int x = 0; x < SIDE; x++)
			for (int k = 0; k < SIDE; k++)
				out[y * SIDE + x] += (in[y * SIDE + k] & 15) * (in[k * SIDE + x] & 15);
}

struct work {
	const char *kernel;
	cl_uint argument;
	cl_uint dimensions;
	size_t global[2], local[2];
	void (*expect)(const uint32_t *in, uint32_t *out);
};

static const struct work WORK[] = {
	{"xorshift", 50, 1, {ITEMS}, {GROUP}, expect_xorshift},
	{"group_sums", 0, 1, {ITEMS}, {GROUP}, expect_sums},
	{"product", SIDE, 2, {SIDE, SIDE}, {TILE, TILE}, expect_product},
};

static bool check(const struct work *work, cl_context context, cl_command_queue queue,
		  cl_program program, uint32_t *data)
{
	static uint32_t got[ITEMS], expected[ITEMS];
	cl_int status;
	cl_mem in = CALL(clCreateBuffer)(context, CL_MEM_COPY_HOST_PTR, sizeof(got), data, &status);
	must(status, "buffer");
	memset(got, 0, sizeof(got));
	memset(expected, 0, sizeof(expected));
	cl_mem out = CALL(clCreateBuffer)(context, CL_MEM_COPY_HOST_PTR, sizeof(got), got, &status);
	must(status, "buffer");
	cl_kernel kernel = CALL(clCreateKernel)(program, work->kernel, &status);
	must(status, work->kernel);
	must(CALL(clSetKernelArg)(kernel, 0, sizeof(in), &in), work->kernel);
	must(CALL(clSetKernelArg)(kernel, 1, sizeof(out), &out), work->kernel);
	must(CALL(clSetKernelArg)(kernel, 2, sizeof(work->argument), &work->argument), work->kernel);
	must(CALL(clEnqueueNDRangeKernel)(queue, kernel, work->dimensions, NULL, work->global,
					  work->local, 0, NULL, NULL),
	     work->kernel);
	must(CALL(clEnqueueReadBuffer)(queue, out, CL_TRUE, 0, sizeof(got), got, 0, NULL, NULL),
	     work->kernel);
	work->expect(data, expected);
	int wrong = 0;
	for (int i = 0; i < ITEMS; i++)
		wrong += got[i] != expected[i];
	if (wrong)
		printf("fail %s: %d of %d answers are wrong\n", work->kernel, wrong, ITEMS);
	else
		printf("pass %s\n", work->kernel);
	CALL(clReleaseMemObject)(in);
	CALL(clReleaseMemObject)(out);
	CALL(clReleaseKernel)(kernel);
	return !wrong;
}

int main(int count, char **words)
{
	static uint32_t data[ITEMS];
	const char *source = SOURCE;
	char name[256] = "";
	cl_int status;
	bool good = true;
	uint32_t x = count > 1 ? (uint32_t)atoi(words[1]) | 1 : 1;

	library = dlopen("libOpenCL.so.1", RTLD_NOW);
	if (!library) {
		printf("fail library: %s\n", dlerror());
		return 1;
	}
	cl_device_id device = first_gpu();
	CALL(clGetDeviceInfo)(device, CL_DEVICE_NAME, sizeof(name), name, NULL);
	printf("device %s\n", name);
	cl_context context = CALL(clCreateContext)(NULL, 1, &device, NULL, NULL, &status);
	must(status, "context");
	cl_command_queue queue = CALL(clCreateCommandQueue)(context, device, 0, &status);
	must(status, "queue");
	cl_program program = CALL(clCreateProgramWithSource)(context, 1, &source, NULL, &status);
	must(status, "program");
	must(CALL(clBuildProgram)(program, 1, &device, "", NULL, NULL), "build");
	for (int i = 0; i < ITEMS; i++)
		data[i] = x = xorshift(x, 2);
	for (size_t i = 0; i < sizeof(WORK) / sizeof(WORK[0]); i++)
		good &= check(&WORK[i], context, queue, program, data);
	return good ? 0 : 1;
}
