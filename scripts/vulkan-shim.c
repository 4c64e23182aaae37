/*
 * A Vulkan driver that passes everything on to another one, and has the limits and the misfortunes that it is told to have:
 * for testing what real GPUs do. Built by scripts/vulkan-shim.sh. Variables of the environment, none of which needs to be set:
 *   SHIM_NAME        what the device is called
 *   SHIM_BINDING     bytes of the largest storage buffer that a shader can see
 *   SHIM_BUFFER      bytes of the largest buffer
 *   SHIM_MEMORY      bytes that the device has
 *   SHIM_LOST        a file; while it is there, the device is lost
 *   SHIM_COPIED      a file, for the number of bytes that were copied between buffers
 * Structures are those of vulkan_core.h, as far as they are used.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*Function)(void);
typedef Function (*GetAddress)(void *, const char *);

enum { SUCCESS = 0, OUT_OF_DEVICE_MEMORY = -2, DEVICE_LOST = -4, INCOMPATIBLE_DRIVER = -9 };
enum { MAINTENANCE_3_PROPERTIES = 1000168000, MAINTENANCE_4_PROPERTIES = 1000413001 };

/* VkPhysicalDeviceProperties, up to maxStorageBufferRange. */
typedef struct {
  uint32_t apiVersion, driverVersion, vendorID, deviceID, deviceType;
  char deviceName[256];
  uint8_t pipelineCacheUUID[16];
  uint64_t : 0;
  struct {
    uint32_t before[7], maxStorageBufferRange;
  } limits;
} Properties;

typedef struct Chained {
  uint32_t type;
  struct Chained *next;
  union {
    Properties properties;
    struct {
      uint32_t maxPerSetDescriptors;
      uint64_t maxMemoryAllocationSize;
    } maintenance3;
    uint64_t maxBufferSize;
  };
} Chained;

typedef struct {
  uint32_t type;
  void *next;
  uint64_t size;
} AllocateInfo;

static uint64_t number(const char *name) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void *driver(void) {
  static void *library;
  if (!library) library = dlopen(DRIVER, RTLD_NOW | RTLD_LOCAL);
  if (!library) fprintf(stderr, "vulkan-shim: %s\n", dlerror());
  return library;
}

static void change(Properties *properties) {
  const char *name = getenv("SHIM_NAME");
  if (name) snprintf(properties->deviceName, sizeof properties->deviceName, "%s", name);
  uint64_t range = properties->limits.maxStorageBufferRange;
  properties->limits.maxStorageBufferRange = (uint32_t)smaller(range, number("SHIM_BINDING"));
}

static void (*realProperties)(void *, Properties *);
static void shimProperties(void *device, Properties *properties) {
  realProperties(device, properties);
  change(properties);
}

static void (*realProperties2)(void *, Chained *);
static void shimProperties2(void *device, Chained *chain) {
  realProperties2(device, chain);
  change(&chain->properties);
  for (Chained *one = chain->next; one; one = one->next) {
    if (one->type == MAINTENANCE_3_PROPERTIES)
      one->maintenance3.maxMemoryAllocationSize =
          smaller(one->maintenance3.maxMemoryAllocationSize, number("SHIM_BUFFER"));
    if (one->type == MAINTENANCE_4_PROPERTIES) one->maxBufferSize = smaller(one->maxBufferSize, number("SHIM_BUFFER"));
  }
}

/* By handle; one thread at a time allocates. */
enum { MOST_ALLOCATIONS = 1 << 16 };
static struct {
  uint64_t memory, size;
} allocations[MOST_ALLOCATIONS];
static uint64_t allocated;

static int (*realAllocate)(void *, const AllocateInfo *, const void *, uint64_t *);
static int shimAllocate(void *device, const AllocateInfo *info, const void *allocator, uint64_t *memory) {
  if (allocated + info->size > number("SHIM_MEMORY")) return OUT_OF_DEVICE_MEMORY;
  int result = realAllocate(device, info, allocator, memory);
  if (result != SUCCESS) return result;
  int free = 0;
  while (free < MOST_ALLOCATIONS - 1 && allocations[free].size) free++;
  allocations[free].memory = *memory;
  allocations[free].size = info->size;
  allocated += info->size;
  return result;
}

static void (*realFree)(void *, uint64_t, const void *);
static void shimFree(void *device, uint64_t memory, const void *allocator) {
  for (int i = 0; i < MOST_ALLOCATIONS; i++)
    if (allocations[i].size && allocations[i].memory == memory) {
      allocated -= allocations[i].size;
      allocations[i].size = 0;
      break;
    }
  realFree(device, memory, allocator);
}

static int isLost(void) {
  const char *file = getenv("SHIM_LOST");
  return file && access(file, F_OK) == 0;
}

typedef struct {
  uint64_t from, to, size;
} Region;

static uint64_t copied;

static void (*realCopy)(void *, uint64_t, uint64_t, uint32_t, const Region *);
static void shimCopy(void *commands, uint64_t from, uint64_t to, uint32_t count, const Region *regions) {
  for (uint32_t i = 0; i < count; i++) copied += regions[i].size;
  realCopy(commands, from, to, count, regions);
}

static void tellCopied(void) {
  const char *path = getenv("SHIM_COPIED");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%llu", (unsigned long long)copied);
  fclose(file);
}

static int (*realSubmit)(void *, uint32_t, const void *, uint64_t);
static int shimSubmit(void *queue, uint32_t count, const void *infos, uint64_t fence) {
  tellCopied();
  return isLost() ? DEVICE_LOST : realSubmit(queue, count, infos, fence);
}

static GetAddress realInstanceAddress, realDeviceAddress;

static Function shimFor(const char *name, Function real);

static Function shimDeviceAddress(void *device, const char *name) {
  return shimFor(name, realDeviceAddress(device, name));
}

static Function shimFor(const char *name, Function real) {
  const struct {
    const char *name;
    Function *real, shim;
  } table[] = {
      {"vkGetPhysicalDeviceProperties", (Function *)&realProperties, (Function)shimProperties},
      {"vkGetPhysicalDeviceProperties2", (Function *)&realProperties2, (Function)shimProperties2},
      {"vkGetPhysicalDeviceProperties2KHR", (Function *)&realProperties2, (Function)shimProperties2},
      {"vkAllocateMemory", (Function *)&realAllocate, (Function)shimAllocate},
      {"vkFreeMemory", (Function *)&realFree, (Function)shimFree},
      {"vkCmdCopyBuffer", (Function *)&realCopy, (Function)shimCopy},
      {"vkQueueSubmit", (Function *)&realSubmit, (Function)shimSubmit},
      {"vkGetDeviceProcAddr", (Function *)&realDeviceAddress, (Function)shimDeviceAddress},
  };
  for (size_t i = 0; real && i < sizeof table / sizeof *table; i++)
    if (strcmp(name, table[i].name) == 0) {
      *table[i].real = real;
      return table[i].shim;
    }
  return real;
}

__attribute__((visibility("default"))) int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  if (!driver()) return INCOMPATIBLE_DRIVER;
  int (*real)(uint32_t *) = (int (*)(uint32_t *))dlsym(driver(), "vk_icdNegotiateLoaderICDInterfaceVersion");
  if (real) return real(version);
  return SUCCESS;
}

__attribute__((visibility("default"))) Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  if (!realInstanceAddress) realInstanceAddress = (GetAddress)dlsym(driver(), "vk_icdGetInstanceProcAddr");
  return shimFor(name, realInstanceAddress(instance, name));
}

__attribute__((visibility("default"))) Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  GetAddress real = (GetAddress)dlsym(driver(), "vk_icdGetPhysicalDeviceProcAddr");
  return real ? shimFor(name, real(instance, name)) : NULL;
}
