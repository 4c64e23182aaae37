/*
* The CUDA functions that ONNX Runtime's CUDA provider calls while a session is created, for a machine without a GPU: memory is
* host memory, handles are empty, kernels do nothing. The provider registers its kernels, takes the nodes that
* it has kernels for, and copies weights, as on a GPU; results of a run are meaningless. cuda-kernels.sh builds
* libraries from it under CUDA's names; every function that is missing here returns 0, for success.
 */
#include <stdlib.h>
#include <string.h>

static int empty_handle(void **handle) {
  *handle = calloc(1, 4096);
  return *handle ? 0 : 2;
}

int cudaGetDeviceCount(int *count) { return *count = 1, 0; }
int cudaGetDevice(int *device) { return *device = 0, 0; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, 0; }
int cudaDriverGetVersion(int *version) { return *version = 13000, 0; }

/* struct cudaDeviceProp of CUDA 13, by the offsets of the fields that are read. */
int cudaGetDeviceProperties(char *properties, int device) {
  (void)device;
  memset(properties, 0, 1008);
  strcpy(properties, "no GPU");
  *(size_t *)(properties + 288) = (size_t)16 << 30; /* totalGlobalMem */
  *(size_t *)(properties + 296) = 49152;            /* sharedMemPerBlock */
  *(int *)(properties + 308) = 32;                  /* warpSize */
  *(int *)(properties + 320) = 1024;                /* maxThreadsPerBlock */
  *(int *)(properties + 360) = 9;                   /* major */
  *(int *)(properties + 384) = 132;                 /* multiProcessorCount */
  return 0;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  enum { WARP_SIZE = 10, MULTIPROCESSORS = 16, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };
  *value = attribute == WARP_SIZE          ? 32
           : attribute == MULTIPROCESSORS  ? 132
           : attribute == CAPABILITY_MAJOR ? 9
           : attribute == CAPABILITY_MINOR ? 0
                                           : 1024;
  return 0;
}

int cudaMemGetInfo(size_t *available, size_t *total) { return *available = *total = (size_t)16 << 30, 0; }
int cudaMalloc(void **memory, size_t size) { return posix_memalign(memory, 256, size + 256) ? 2 : 0; }
int cudaMallocHost(void **memory, size_t size) { return cudaMalloc(memory, size); }
int cudaHostAlloc(void **memory, size_t size, unsigned flags) { return (void)flags, cudaMalloc(memory, size); }
int cudaFree(void *memory) { return free(memory), 0; }
int cudaFreeHost(void *memory) { return free(memory), 0; }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { return (void)kind, memcpy(to, from, size), 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  return (void)stream, cudaMemcpy(to, from, size, kind);
}
int cudaMemset(void *memory, int value, size_t size) { return memset(memory, value, size), 0; }
int cudaMemsetAsync(void *memory, int value, size_t size, void *stream) {
  return (void)stream, cudaMemset(memory, value, size);
}
int cudaPointerGetAttributes(void *attributes, const void *pointer) {
  return (void)pointer, memset(attributes, 0, 24), 0;
}

int cudaStreamCreate(void **stream) { return empty_handle(stream); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return (void)flags, empty_handle(stream); }
int cudaStreamIsCapturing(void *stream, int *status) { return (void)stream, *status = 0, 0; }
int cudaEventCreate(void **event) { return empty_handle(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return (void)flags, empty_handle(event); }
int cudaMemPoolCreate(void **pool) { return empty_handle(pool); }
int cublasCreate_v2(void **handle) { return empty_handle(handle); }
int cublasLtCreate(void **handle) { return empty_handle(handle); }
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference,
                                   int wanted, void *results, int *found) {
  (void)handle, (void)operation, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted, (void)results;
  return *found = 0, 0;
}

/* What nvcc's host code calls to register and launch kernels. */
void **__cudaRegisterFatBinary(void *binary) {
  static void *handle[4];
  return (void)binary, handle;
}
int __cudaGetKernel(void **kernel, const void *entry) { return *kernel = (void *)entry, 0; }
int __cudaPopCallConfiguration(void *grid, void *block, size_t *shared, void **stream) {
  return memset(grid, 0, 12), memset(block, 0, 12), *shared = 0, *stream = NULL, 0;
}

const char *cudaGetErrorString(int error) { return (void)error, "no error"; }
const char *cudaGetErrorName(int error) { return (void)error, "cudaSuccess"; }
const char *cublasGetStatusName(int status) { return (void)status, "CUBLAS_STATUS_SUCCESS"; }
const char *cublasGetStatusString(int status) { return (void)status, "success"; }
