/* A stand-in for libnvidia-ml.so.1, written from NVML's public API for the probe's tests.
 *
 * Every call reads the file named by FAKE_NVML_STATE again, so a test changes the "hardware" while
 * the probe runs. One "key value" a line; GPU keys begin with the index ("0.power_mw 412345"). A
 * value "!15" makes the call answer error 15; a key that is missing answers 3, not supported.
 * With -DOLD_DRIVER the calls that came with newer drivers are not there at all.
 *
 * It proves the probe against NVML's calling convention, not against hardware.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, TOO_SMALL = 7, UNKNOWN = 999, BAD_VERSION = 25 };

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

static int gpu_text(gpu_t gpu, const char *name, char *value, size_t size) {
    char key[128];
    snprintf(key, sizeof key, "%d.%s", (int)(intptr_t)gpu - 1, name);
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
    return result == NOT_SUPPORTED ? OK : result;
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int result) {
    static char text[32];
    snprintf(text, sizeof text, "error %d", result);
    return text;
}

int nvmlSystemGetDriverVersion(char *version, u32 size) { return look_up("driver", version, size); }

int nvmlDeviceGetCount_v2(u32 *count) {
    char value[512];
    int result = look_up("count", value, sizeof value);
    if (result == OK) *count = (u32)atoi(value);
    return result;
}

int nvmlDeviceGetHandleByIndex_v2(u32 index, gpu_t *gpu) {
    char value[512];
    *gpu = (gpu_t)(intptr_t)(index + 1);
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

/* 1 = uncorrected; 0 = volatile, 1 = aggregate over the GPU's life. */
int nvmlDeviceGetTotalEccErrors(gpu_t gpu, int type, int counter, u64 *errors) {
    if (type != 1) return INVALID;
    return gpu_u64(gpu, counter == 0 ? "ecc_volatile" : "ecc_aggregate", errors);
}

int nvmlDeviceGetMigMode(gpu_t gpu, u32 *current, u32 *pending) {
    *pending = 0;
    return gpu_u32(gpu, "mig", current);
}

typedef struct { u32 pid; u64 memory; u32 gpu_instance, compute_instance; } process_t;

int nvmlDeviceGetComputeRunningProcesses_v2(gpu_t gpu, u32 *count, process_t *processes) {
    u32 running = 0;
    int result = gpu_u32(gpu, "processes", &running);
    if (result != OK) return result;
    u32 room = *count;
    *count = running;
    if (room < running) return TOO_SMALL;
    for (u32 i = 0; i < running; i++) processes[i] = (process_t){1000 + i, 1 << 20, 0, 0};
    return OK;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v3(gpu_t gpu, u32 *count, process_t *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v2(gpu, count, processes);
}
#endif
