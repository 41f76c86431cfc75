/* NVIDIA's driver API as far as Vedette uses it, in host memory. Fails where the driver would: calls before cuInit or on a
   thread without a context, copies that leave an allocation, addresses that are none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_CONTEXT = 201 };
#define MOST 256

static int ready;
static int context_mark, stream_mark;
static _Thread_local void *current;
static struct { char *start; size_t size; } held[MOST];

static long long setting(const char *name, long long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

int cuInit(unsigned flags) {
    if (flags) return INVALID_VALUE;
    if (setting("STANDIN_NO_GPU", 0)) return NO_DEVICE;
    ready = 1;
    return SUCCESS;
}
int cuDeviceGet(int *device, int ordinal) {
    if (!ready) return NOT_INITIALIZED;
    if (ordinal) return INVALID_VALUE;
    *device = 0;
    return SUCCESS;
}
int cuDeviceGetName(char *name, int length, int device) {
    if (!ready) return NOT_INITIALIZED;
    const char *chosen = getenv("STANDIN_GPU");
    if (device || length < 1) return INVALID_VALUE;
    strncpy(name, chosen ? chosen : "Stand-in GPU", (size_t)length - 1);
    name[length - 1] = 0;
    return SUCCESS;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (!ready) return NOT_INITIALIZED;
    if (device || (attribute != 75 && attribute != 76)) return INVALID_VALUE;
    *value = attribute == 75 ? 5 : 3;
    return SUCCESS;
}
int cuDriverGetVersion(int *version) {
    *version = 10020;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (!ready || device) return NOT_INITIALIZED;
    *context = &context_mark;
    return SUCCESS;
}
int cuCtxSetCurrent(void *context) {
    if (context != &context_mark) return INVALID_CONTEXT;
    current = context;
    return SUCCESS;
}
int cuStreamCreate(void **stream, unsigned flags) {
    if (!current) return INVALID_CONTEXT;
    if (flags > 1) return INVALID_VALUE;
    *stream = &stream_mark;
    return SUCCESS;
}
int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    if (!current) return INVALID_CONTEXT;
    *total_bytes = (size_t)4 << 30;
    *free_bytes = (size_t)setting("STANDIN_FREE_BYTES", 2LL << 30);
    return SUCCESS;
}
int cuMemAlloc_v2(uint64_t *address, size_t size) {
    if (!current) return INVALID_CONTEXT;
    if (!size) return INVALID_VALUE;
    for (int i = 0; i < MOST; i++)
        if (!held[i].start) {
            if (!(held[i].start = malloc(size))) return OUT_OF_MEMORY;
            memset(held[i].start, 0xff, size); /* float32: not a number */
            held[i].size = size;
            *address = (uint64_t)(uintptr_t)held[i].start;
            return SUCCESS;
        }
    return OUT_OF_MEMORY;
}
int cuMemFree_v2(uint64_t address) {
    if (!current) return INVALID_CONTEXT;
    for (int i = 0; i < MOST; i++)
        if (held[i].start && (uint64_t)(uintptr_t)held[i].start == address) {
            free(held[i].start);
            held[i].start = 0;
            return SUCCESS;
        }
    return INVALID_VALUE;
}
static int lies_inside(uint64_t address, size_t size) {
    for (int i = 0; i < MOST; i++) {
        uint64_t start = (uint64_t)(uintptr_t)held[i].start;
        if (start && address >= start && address + size <= start + held[i].size) return 1;
    }
    return 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t target, const void *source, size_t size, void *stream) {
    if (!current) return INVALID_CONTEXT;
    if (stream != &stream_mark || !lies_inside(target, size)) return INVALID_VALUE;
    memcpy((void *)(uintptr_t)target, source, size);
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *target, uint64_t source, size_t size, void *stream) {
    if (!current) return INVALID_CONTEXT;
    if (stream != &stream_mark || !lies_inside(source, size)) return INVALID_VALUE;
    memcpy(target, (const void *)(uintptr_t)source, size);
    return SUCCESS;
}
int cuStreamSynchronize(void *stream) { return !current ? INVALID_CONTEXT : stream == &stream_mark ? SUCCESS : INVALID_VALUE; }
int cuGetErrorString(int code, const char **words) {
    static const struct { int code; const char *words; } known[] = {
        {INVALID_VALUE, "invalid argument"}, {OUT_OF_MEMORY, "out of memory"}, {NOT_INITIALIZED, "initialization error"},
        {NO_DEVICE, "no CUDA-capable device is detected"}, {INVALID_CONTEXT, "invalid device context"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code) {
            *words = known[i].words;
            return SUCCESS;
        }
    return INVALID_VALUE;
}
