/* A stand-in for libnvidia-ml.so.1 whose GPUs are described by environment variables:
 *   FAKE_NVML_INIT     what nvmlInit returns; 0 where unset
 *   FAKE_NVML_GPUS     compute capabilities by index, such as "9.0,8.0"
 *   FAKE_NVML_ENERGY   mJ by which the counter moves with each reading; "none": not supported
 *   FAKE_NVML_MIG      "1": every GPU is partitioned
 * The GPU of index i has the UUID "GPU-0000000i" and the PCI address "00000000:0i:00.0".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };
enum { MAX_GPUS = 8 };

static int open_sessions;
static unsigned long long millijoules = 1000;
static struct gpu { unsigned index; int major, minor; } gpus[MAX_GPUS];

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static unsigned load_gpus(void) {
    unsigned count = 0;
    const char *text = setting("FAKE_NVML_GPUS");
    while (*text && count < MAX_GPUS) {
        gpus[count].index = count;
        if (sscanf(text, "%d.%d", &gpus[count].major, &gpus[count].minor) != 2) break;
        count++;
        text = strchr(text, ',');
        if (!text) break;
        text++;
    }
    return count;
}

int fake_open_sessions(void) { return open_sessions; }

int nvmlInitWithFlags(unsigned flags) {
    int code = atoi(setting("FAKE_NVML_INIT"));
    (void)flags;
    if (code == SUCCESS) open_sessions++;
    return code;
}

int nvmlShutdown(void) {
    if (open_sessions == 0) return UNINITIALIZED;
    open_sessions--;
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    return code == 999 ? "Unknown Error" : code == UNINITIALIZED ? "Uninitialized" : "Some Error";
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!open_sessions) return UNINITIALIZED;
    *count = load_gpus();
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **gpu) {
    if (!open_sessions) return UNINITIALIZED;
    if (index >= load_gpus()) return INVALID_ARGUMENT;
    *gpu = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct gpu *gpu, char *text, unsigned length) {
    snprintf(text, length, "GPU-%08u", gpu->index);
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **gpu) {
    if (!open_sessions) return UNINITIALIZED;
    for (unsigned i = 0; i < load_gpus(); i++) {
        char own[32];
        nvmlDeviceGetUUID(&gpus[i], own, sizeof own);
        if (strcmp(own, uuid) == 0) { *gpu = &gpus[i]; return SUCCESS; }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, struct gpu **gpu) {
    if (!open_sessions) return UNINITIALIZED;
    for (unsigned i = 0; i < load_gpus(); i++) {
        char own[32];
        snprintf(own, sizeof own, "00000000:%02x:00.0", i);
        if (strcmp(own, address) == 0) { *gpu = &gpus[i]; return SUCCESS; }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetCudaComputeCapability(struct gpu *gpu, int *major, int *minor) {
    *major = gpu->major;
    *minor = gpu->minor;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending) {
    (void)gpu;
    *current = *pending = strcmp(setting("FAKE_NVML_MIG"), "1") == 0;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(struct gpu *gpu, unsigned long long *energy) {
    (void)gpu;
    if (!open_sessions) return UNINITIALIZED;
    if (strcmp(setting("FAKE_NVML_ENERGY"), "none") == 0) return NOT_SUPPORTED;
    *energy = millijoules;
    millijoules += strtoull(setting("FAKE_NVML_ENERGY"), NULL, 10);
    return SUCCESS;
}

int nvmlDeviceGetName(struct gpu *gpu, char *text, unsigned length) {
    snprintf(text, length, "Fake GPU %u", gpu->index);
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(struct gpu *gpu, unsigned *milliwatts) {
    (void)gpu;
    *milliwatts = 700000;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(struct gpu *gpu, unsigned kind, unsigned *megahertz) {
    (void)gpu;
    if (kind != 1) return NOT_SUPPORTED;
    *megahertz = 1980;
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    snprintf(text, length, "550.54.15");
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *number) {
    *number = 12040;
    return SUCCESS;
}
