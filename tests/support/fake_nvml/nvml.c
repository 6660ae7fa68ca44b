/* A small libnvidia-ml.so.1 that knows what a text file tells it.
 *
 * The file is named by FAKE_NVML_CONFIG and read again at every call, so a test changes the machine while
 * programs run on it (it replaces the file by rename). A line is `<device> <key> <value>`; the device is
 * `nvml`, a GPU (`0`) or a MIG device of it (`0.1`):
 *
 *     nvml gpus 2
 *     nvml error.nvmlInitWithFlags 9          the call returns nvmlReturn_t 9
 *     0 name Fake GPU
 *     0 uuid GPU-00000000
 *     0 memory_used_mib 3
 *     0 memory_total_mib 81559
 *     0 utilization 7
 *     0 temperature 40
 *     0 power_mw 61500
 *     0 processes 4242:800,4243:-             pid:MiB, or - where the driver does not tell
 *     1 error.* 15                            every call about GPU 1
 *     1 hang.nvmlDeviceGetPowerUsage 60       seconds, or until the line is gone
 *     1 mig 2                                 MIG mode is on, with places for two devices
 *     1.0 uuid MIG-00000000                   a place without a uuid is empty
 *
 * As with the real library, calls before nvmlInit fail, and a GPU once lost stays lost until the next
 * nvmlInit.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
    ARGUMENT_VERSION_MISMATCH = 25,
};

#define MIB (1024ULL * 1024ULL)
#define VALUE_LENGTH 16384
#define MAX_GPUS 64
#define MEMORY_V2 0x02000028u
#define TEMPERATURE_V1 0x100000Cu

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned version, sensor; int temperature; } temperature_t;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_t;

/* A handle is no pointer but a number: 1 + gpu + MAX_GPUS * (1 + mig), the latter 0 for a whole GPU. */
typedef void *handle_t;

static int started;
static int lost[MAX_GPUS];

/* Copies the value of `device key` into `value`; 0 if there is none. */
static int look(const char *device, const char *key, char *value)
{
    const char *path = getenv("FAKE_NVML_CONFIG");
    FILE *file = path ? fopen(path, "r") : NULL;
    static _Thread_local char line[VALUE_LENGTH];
    char start[256];
    int found = 0;

    if (!file)
        return 0;
    snprintf(start, sizeof start, "%s %s ", device, key);
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, start, strlen(start)) == 0) {
            strcpy(value, line + strlen(start));
            found = 1;
        }
    }
    fclose(file);
    return found;
}

static long long number(const char *device, const char *key, long long otherwise)
{
    char value[VALUE_LENGTH];
    return look(device, key, value) ? atoll(value) : otherwise;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Hangs if told to, then says what error the call is to return. */
static int trouble(const char *device, const char *function)
{
    const struct timespec a_moment = {0, 20 * 1000 * 1000};
    char key[256];
    double began = seconds();

    snprintf(key, sizeof key, "hang.%s", function);
    while (seconds() - began < (double)number(device, key, 0))
        nanosleep(&a_moment, NULL);
    snprintf(key, sizeof key, "error.%s", function);
    return (int)number(device, key, number(device, "error.*", SUCCESS));
}

static int gpu_of(handle_t handle) { return (int)(((size_t)handle - 1) % MAX_GPUS); }
static int mig_of(handle_t handle) { return (int)(((size_t)handle - 1) / MAX_GPUS) - 1; }
static handle_t handle_of(int gpu, int mig) { return (handle_t)(size_t)(1 + gpu + MAX_GPUS * (1 + mig)); }

/* Writes the device's name in the file; returns what the call has to return. */
static int enter(handle_t handle, const char *function, char *device)
{
    int gpu = gpu_of(handle), mig = mig_of(handle), error;

    if (!started)
        return UNINITIALIZED;
    snprintf(device, 32, mig < 0 ? "%d" : "%d.%d", gpu, mig);
    error = trouble(device, function);
    lost[gpu] |= error == GPU_IS_LOST;
    return lost[gpu] ? GPU_IS_LOST : error;
}

#define ENTER(handle)                                       \
    char device[32];                                        \
    int error = enter(handle, __func__, device);            \
    if (error)                                              \
        return error

int nvmlInitWithFlags(unsigned flags)
{
    int error = trouble("nvml", __func__);
    (void)flags;
    if (!error && number("nvml", "gpus", -1) < 0)
        error = DRIVER_NOT_LOADED;
    if (error)
        return error;
    if (started++ == 0)
        memset(lost, 0, sizeof lost);
    return SUCCESS;
}

int nvmlShutdown(void)
{
    if (!started)
        return UNINITIALIZED;
    started--;
    return trouble("nvml", __func__);
}

const char *nvmlErrorString(int error)
{
    (void)error;
    return "Fake Error";
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    int error = started ? trouble("nvml", __func__) : UNINITIALIZED;
    *count = (unsigned)number("nvml", "gpus", 0);
    return error;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle_t *handle)
{
    if (started && index >= number("nvml", "gpus", 0))
        return INVALID_ARGUMENT;
    *handle = handle_of((int)index, -1);
    ENTER(*handle);
    return SUCCESS;
}

static int text(const char *device, const char *key, char *out, unsigned length)
{
    char value[VALUE_LENGTH];
    if (!look(device, key, value))
        return NOT_SUPPORTED;
    if (strlen(value) >= length)
        return INSUFFICIENT_SIZE;
    strcpy(out, value);
    return SUCCESS;
}

int nvmlDeviceGetName(handle_t handle, char *name, unsigned length)
{
    ENTER(handle);
    return text(device, "name", name, length);
}

int nvmlDeviceGetUUID(handle_t handle, char *uuid, unsigned length)
{
    ENTER(handle);
    return text(device, "uuid", uuid, length);
}

int nvmlDeviceGetMemoryInfo(handle_t handle, memory_t *memory)
{
    ENTER(handle);
    memory->total = MIB * (unsigned long long)number(device, "memory_total_mib", 0);
    memory->used = MIB * (unsigned long long)number(device, "memory_used_mib", 0);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(handle_t handle, memory_v2_t *memory)
{
    ENTER(handle);
    if (memory->version != MEMORY_V2)
        return ARGUMENT_VERSION_MISMATCH;
    memory->total = MIB * (unsigned long long)number(device, "memory_total_mib", 0);
    memory->used = MIB * (unsigned long long)number(device, "memory_used_mib", 0);
    memory->reserved = 0;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(handle_t handle, utilization_t *rates)
{
    ENTER(handle);
    if (mig_of(handle) >= 0)
        return NOT_SUPPORTED;
    rates->gpu = (unsigned)number(device, "utilization", 0);
    rates->memory = 0;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(handle_t handle, unsigned sensor, unsigned *temperature)
{
    ENTER(handle);
    (void)sensor;
    *temperature = (unsigned)number(device, "temperature", 0);
    return SUCCESS;
}

int nvmlDeviceGetTemperatureV(handle_t handle, temperature_t *temperature)
{
    ENTER(handle);
    if (temperature->version != TEMPERATURE_V1)
        return ARGUMENT_VERSION_MISMATCH;
    temperature->temperature = (int)number(device, "temperature", 0);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(handle_t handle, unsigned *milliwatts)
{
    ENTER(handle);
    *milliwatts = (unsigned)number(device, "power_mw", 0);
    return SUCCESS;
}

static int processes(const char *device, unsigned *count, process_t *list)
{
    char value[VALUE_LENGTH] = "", *rest = value, *one;
    unsigned room = *count;

    look(device, "processes", value);
    for (*count = 0; (one = strsep(&rest, ",")) && *one; ++*count) {
        char *used = strchr(one, ':');
        if (*count < room && list)
            list[*count] = (process_t){(unsigned)atol(one), used && used[1] != '-' ? MIB * strtoull(used + 1, NULL, 10) : ~0ULL, ~0u, ~0u};
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v2(handle_t handle, unsigned *count, process_t *list)
{
    ENTER(handle);
    return processes(device, count, list);
}

int nvmlDeviceGetComputeRunningProcesses_v3(handle_t handle, unsigned *count, process_t *list)
{
    ENTER(handle);
    return processes(device, count, list);
}

int nvmlDeviceGetMigMode(handle_t handle, unsigned *current, unsigned *pending)
{
    ENTER(handle);
    if (number(device, "mig", -1) < 0)
        return NOT_SUPPORTED;
    *current = *pending = 1;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(handle_t handle, unsigned *count)
{
    ENTER(handle);
    *count = (unsigned)number(device, "mig", 0);
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(handle_t handle, unsigned index, handle_t *mig)
{
    char value[VALUE_LENGTH], inner[48];
    ENTER(handle);
    snprintf(inner, sizeof inner, "%s.%u", device, index);
    if (!look(inner, "uuid", value))
        return NOT_FOUND;
    *mig = handle_of(gpu_of(handle), (int)index);
    return SUCCESS;
}
