/* A stand-in for libnvidia-ml.so.1, written from NVML's public API for the probe's tests.
 *
 * Every call reads the file named by FAKE_NVML_STATE again, so a test changes the "hardware" while
 * the probe runs. One "key value" a line; GPU keys begin with the index ("0.power_mw 412345"). A
 * value "!15" makes the call answer error 15; a key that is missing answers 3, not supported.
 * With -DOLD_DRIVER the calls that came with newer drivers are not there at all. After the line
 * "epoch" changes, everything answers "uninitialised" until NVML is shut down and initialised: that
 * is a driver that was loaded anew.
 *
 * It proves the probe against NVML's calling convention, not against hardware.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7,
    TIMEOUT = 10, BAD_VERSION = 25, UNKNOWN = 999
};

typedef unsigned int u32;
typedef unsigned long long u64;
typedef void *gpu_t;

static int look_up(const char *key, char *value, size_t size) {
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return UNKNOWN;
    int result = NOT_SUPPORTED;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *space = strchr(line, ' ');
        if (!space) continue;
        *space = 0;
        if (strcmp(line, key)) continue;
        if (space[1] == '!') {
            result = atoi(space + 2);
        } else {
            snprintf(value, size, "%s", space + 1);
            result = OK;
        }
        break;
    }
    fclose(file);
    return result;
}

static int uses = 0, epoch = 0;

static int epoch_now(void) {
    char value[512];
    return look_up("epoch", value, sizeof value) == OK ? atoi(value) : 0;
}

/* A handle holds the GPU's place and, of a MIG instance, its place on the GPU. */
static gpu_t handle_of(int gpu, int slice) { return (gpu_t)(intptr_t)((slice << 16) | (gpu + 1)); }
static int gpu_of(gpu_t gpu) { return (int)((intptr_t)gpu & 0xffff) - 1; }
static int slice_of(gpu_t gpu) { return (int)((intptr_t)gpu >> 16); } /* 0: the whole GPU */

static int gpu_text(gpu_t gpu, const char *name, char *value, size_t size) {
    char key[128];
    if (!uses || epoch != epoch_now()) return UNINITIALIZED;
    if (slice_of(gpu)) {
        snprintf(key, sizeof key, "%d.mig%d.%s", gpu_of(gpu), slice_of(gpu) - 1, name);
    } else {
        snprintf(key, sizeof key, "%d.%s", gpu_of(gpu), name);
    }
    return look_up(key, value, size);
}

static int gpu_u64(gpu_t gpu, const char *name, u64 *number) {
    char value[512];
    int result = gpu_text(gpu, name, value, sizeof value);
    if (result == OK) *number = strtoull(value, NULL, 0);
    return result;
}

static int gpu_u32(gpu_t gpu, const char *name, u32 *number) {
    u64 wide = 0;
    int result = gpu_u64(gpu, name, &wide);
    if (result == OK) *number = (u32)wide;
    return result;
}

int nvmlInitWithFlags(u32 flags) {
    char value[512];
    (void)flags;
    int result = look_up("init", value, sizeof value);
    if (result != OK && result != NOT_SUPPORTED) return result;
    if (!uses++) epoch = epoch_now();
    return OK;
}

int nvmlShutdown(void) {
    if (!uses) return UNINITIALIZED;
    uses--;
    return OK;
}

const char *nvmlErrorString(int result) {
    static char text[32];
    snprintf(text, sizeof text, "error %d", result);
    return text;
}

int nvmlSystemGetDriverVersion(char *version, u32 size) { return look_up("driver", version, size); }

int nvmlDeviceGetCount_v2(u32 *count) {
    char value[512];
    if (!uses || epoch != epoch_now()) return UNINITIALIZED;
    int result = look_up("count", value, sizeof value);
    if (result == OK) *count = (u32)atoi(value);
    return result;
}

int nvmlDeviceGetHandleByIndex_v2(u32 index, gpu_t *gpu) {
    char value[512];
    *gpu = handle_of((int)index, 0);
    int result = gpu_text(*gpu, "handle", value, sizeof value);
    return result == NOT_SUPPORTED ? OK : result;
}

int nvmlDeviceGetUUID(gpu_t gpu, char *uuid, u32 size) { return gpu_text(gpu, "uuid", uuid, size); }
int nvmlDeviceGetName(gpu_t gpu, char *name, u32 size) { return gpu_text(gpu, "name", name, size); }

typedef struct { u64 total, free, used; } memory_v1_t;
typedef struct { u32 version; u64 total, reserved, free, used; } memory_v2_t;

/* Version 1 counts what the driver keeps as used. */
int nvmlDeviceGetMemoryInfo(gpu_t gpu, memory_v1_t *memory) {
    u64 used = 0, reserved = 0;
    int result = gpu_u64(gpu, "memory_total", &memory->total);
    if (result == OK) result = gpu_u64(gpu, "memory_used", &used);
    if (result == OK) result = gpu_u64(gpu, "memory_reserved", &reserved);
    memory->used = used + reserved;
    memory->free = memory->total - memory->used;
    return result;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(gpu_t gpu, memory_v2_t *memory) {
    if (memory->version != (sizeof *memory | 2u << 24)) return BAD_VERSION;
    int result = gpu_u64(gpu, "memory_total", &memory->total);
    if (result == OK) result = gpu_u64(gpu, "memory_used", &memory->used);
    if (result == OK) result = gpu_u64(gpu, "memory_reserved", &memory->reserved);
    memory->free = memory->total - memory->used - memory->reserved;
    return result;
}
#endif

typedef struct { u32 gpu, memory; } utilization_t;

int nvmlDeviceGetUtilizationRates(gpu_t gpu, utilization_t *rates) {
    rates->memory = 1;
    return gpu_u32(gpu, "utilization", &rates->gpu);
}

int nvmlDeviceGetPowerUsage(gpu_t gpu, u32 *power) { return gpu_u32(gpu, "power_mw", power); }
int nvmlDeviceGetEnforcedPowerLimit(gpu_t gpu, u32 *limit) {
    return gpu_u32(gpu, "power_limit_mw", limit);
}
int nvmlDeviceGetTotalEnergyConsumption(gpu_t gpu, u64 *energy) {
    return gpu_u64(gpu, "energy_mj", energy);
}

int nvmlDeviceGetClockInfo(gpu_t gpu, int which, u32 *clock) {
    return which == 1 ? gpu_u32(gpu, "sm_clock", clock) : INVALID;
}

int nvmlDeviceGetTemperature(gpu_t gpu, int sensor, u32 *degrees) {
    return sensor == 0 ? gpu_u32(gpu, "temperature", degrees) : INVALID;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(gpu_t gpu, u64 *reasons) {
    return gpu_u64(gpu, "clock_reasons", reasons);
}

#ifndef OLD_DRIVER
typedef struct { u32 version; int sensor, degrees; } temperature_t;

int nvmlDeviceGetTemperatureV(gpu_t gpu, temperature_t *temperature) {
    if (temperature->version != (sizeof *temperature | 1u << 24)) return BAD_VERSION;
    return nvmlDeviceGetTemperature(gpu, temperature->sensor, (u32 *)&temperature->degrees);
}

int nvmlDeviceGetCurrentClocksEventReasons(gpu_t gpu, u64 *reasons) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(gpu, reasons);
}
#endif

/* 0 = corrected, 1 = uncorrected; 0 = volatile, 1 = aggregate over the GPU's life. */
int nvmlDeviceGetTotalEccErrors(gpu_t gpu, int type, int counter, u64 *errors) {
    if (type == 0) return counter == 0 ? gpu_u64(gpu, "ecc_corrected", errors) : INVALID;
    if (type != 1) return INVALID;
    return gpu_u64(gpu, counter == 0 ? "ecc_volatile" : "ecc_aggregate", errors);
}

int nvmlDeviceGetMigMode(gpu_t gpu, u32 *current, u32 *pending) {
    *pending = 0;
    return gpu_u32(gpu, "mig", current);
}

typedef struct { u32 pid; u64 memory; u32 gpu_instance, compute_instance; } process_t;

/* "0.process1 4242 1073741824 1 0" says the second process; else it is made up from its place. */
static int process_at(gpu_t gpu, u32 at, process_t *process) {
    char name[32], value[512];
    *process = (process_t){1000 + at, 1 << 20, ~0u, ~0u};
    snprintf(name, sizeof name, "process%u", at);
    int result = gpu_text(gpu, name, value, sizeof value);
    if (result != OK) return result == NOT_SUPPORTED ? OK : result;
    char *next = value;
    process->pid = (u32)strtoul(next, &next, 0);
    process->memory = strtoull(next, &next, 0);
    if (*next) process->gpu_instance = (u32)strtoul(next, &next, 0);
    if (*next) process->compute_instance = (u32)strtoul(next, &next, 0);
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v2(gpu_t gpu, u32 *count, process_t *processes) {
    u32 running = 0;
    int result = gpu_u32(gpu, "processes", &running);
    if (result != OK) return result;
    u32 room = *count;
    *count = running;
    if (room < running) return TOO_SMALL;
    for (u32 i = 0; i < running && result == OK; i++) result = process_at(gpu, i, &processes[i]);
    return result;
}

int nvmlSystemGetProcessName(u32 pid, char *name, u32 size) {
    char key[32];
    snprintf(key, sizeof key, "name.%u", pid);
    int result = look_up(key, name, size);
    return result == NOT_SUPPORTED ? NOT_FOUND : result;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v3(gpu_t gpu, u32 *count, process_t *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v2(gpu, count, processes);
}

/* "0.remapped 1 2 0 1": by corrected errors, by uncorrected, pending, failed. */
int nvmlDeviceGetRemappedRows(gpu_t gpu, u32 *corrected, u32 *uncorrected, u32 *pending,
                              u32 *failed) {
    char value[512];
    int result = gpu_text(gpu, "remapped", value, sizeof value);
    if (result != OK) return result;
    return sscanf(value, "%u %u %u %u", corrected, uncorrected, pending, failed) == 4 ? OK : UNKNOWN;
}

/* ---- MIG: "0.mig_places 7", then "0.mig2.uuid …" for an instance in the third place */

int nvmlDeviceGetMaxMigDeviceCount(gpu_t gpu, u32 *count) {
    return gpu_u32(gpu, "mig_places", count);
}

int nvmlDeviceGetMigDeviceHandleByIndex(gpu_t gpu, u32 index, gpu_t *slice) {
    char value[512];
    *slice = handle_of(gpu_of(gpu), (int)index + 1);
    int result = gpu_text(*slice, "uuid", value, sizeof value);
    return result == NOT_SUPPORTED ? NOT_FOUND : result;
}

int nvmlDeviceGetGpuInstanceId(gpu_t slice, u32 *id) { return gpu_u32(slice, "gi", id); }
int nvmlDeviceGetComputeInstanceId(gpu_t slice, u32 *id) { return gpu_u32(slice, "ci", id); }

typedef struct { u32 unused[6], slices, compute_slices; u64 memory_mb; } attributes_t;

/* "0.mig0.attributes 3 1 40448": memory slices, compute slices, MiB. */
int nvmlDeviceGetAttributes_v2(gpu_t slice, attributes_t *size) {
    char value[512];
    int result = gpu_text(slice, "attributes", value, sizeof value);
    if (result != OK) return result;
    return sscanf(value, "%u %u %llu", &size->slices, &size->compute_slices, &size->memory_mb) == 3
        ? OK : UNKNOWN;
}

/* ---- events: "xids 1:0:79,2:1:63" is the first event, XID 79 of GPU 0, and the second */

typedef struct { gpu_t gpu; u64 type, data; u32 gpu_instance, compute_instance; } event_t;

static int registered = 0, last_event = 0;

int nvmlEventSetCreate(void **set) {
    char value[512];
    int result = look_up("event_set", value, sizeof value);
    if (result != OK && result != NOT_SUPPORTED) return result;
    registered = 0;
    *set = &registered;
    return OK;
}

int nvmlEventSetFree(void *set) { return set == &registered ? OK : INVALID; }

int nvmlDeviceRegisterEvents(gpu_t gpu, u64 types, void *set) {
    u32 supported = 0;
    if (set != &registered || types != 8) return INVALID;
    int result = gpu_u32(gpu, "events", &supported);
    if (result == OK) registered |= 1 << gpu_of(gpu);
    return result;
}

int nvmlEventSetWait_v2(void *set, event_t *event, u32 timeout_ms) {
    char value[512];
    /* A probe that waits would hold up its readings. */
    if (set != &registered || timeout_ms != 0) return INVALID;
    int result = look_up("event_wait", value, sizeof value);
    if (result != OK && result != NOT_SUPPORTED) return result;
    if (look_up("xids", value, sizeof value) != OK) return TIMEOUT;
    for (char *one = strtok(value, ","); one; one = strtok(NULL, ",")) {
        int number, gpu;
        u64 code;
        if (sscanf(one, "%d:%d:%llu", &number, &gpu, &code) != 3) return UNKNOWN;
        if (number <= last_event || !(registered & 1 << gpu)) continue;
        last_event = number;
        *event = (event_t){handle_of(gpu, 0), 8, code, ~0u, ~0u};
        return OK;
    }
    return TIMEOUT;
}
#endif
