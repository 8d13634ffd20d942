/* A stand-in for the NVIDIA driver's library, for machines without a GPU.
 *
 * Built by tests/fakes/nvml.py as libnvidia-ml.so.1. Reads the state from the text file named by
 * FAKE_NVML_STATE, one GPU or slice a line, words divided by '|':
 *
 *     gpu|<uuid>|<name>|<memory MiB>|<fault>
 *     mig|<uuid>|<name>|<memory MiB>|<slices>
 *     util|<uuid>|<percent>
 *     proc|<uuid>|<pid>|<memory MiB>|<percent>
 *
 * Without a util line utilisation is not supported there, as on a MIG slice; <percent> of a process
 * may be '-': not supported. The file is read again whenever the GPUs are counted.
 *
 * <fault>: ok, rows (memory rows no longer repairable), mute (no memory information), lost.
 * A mig line belongs to the gpu line before it and switches MIG on there. A first line
 * "broken" makes nvmlInit fail as a driver of another version does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct device {
    int is_mig, parent;
    char uuid[96], name[96], fault[16];
    unsigned memory_mb, slices;
    int percent;
} device;

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, LOST = 15, MISMATCH = 18, UNKNOWN = 999 };

typedef struct process { char uuid[96]; unsigned pid, memory_mb; int percent; } process;

static device devices[64];
static process processes[64];
static int count, running, broken;

static device *named(const char *uuid) {
    for (int i = 0; i < count; i++)
        if (!strcmp(devices[i].uuid, uuid)) return &devices[i];
    return NULL;
}

static void read_use(const char *line) {
    process *p = &processes[running];
    char uuid[96], last[16];
    int percent;
    device *d;
    if (sscanf(line, "util|%95[^|]|%d", uuid, &percent) == 2 && (d = named(uuid)))
        d->percent = percent;
    if (running < 64 &&
        sscanf(line, "proc|%95[^|]|%u|%u|%15s", p->uuid, &p->pid, &p->memory_mb, last) == 4) {
        p->percent = *last == '-' ? -1 : atoi(last);
        running++;
    }
}

static void read_state(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], kind[8], last[16];
    int parent = -1;
    count = running = broken = 0;
    if (!file) return;
    while (fgets(line, sizeof line, file) && count < 64) {
        device *d = &devices[count];
        memset(d, 0, sizeof *d);
        if (!strncmp(line, "broken", 6)) broken = 1;
        read_use(line);
        if (sscanf(line, "%7[^|]|%95[^|]|%95[^|]|%u|%15s", kind, d->uuid, d->name, &d->memory_mb,
                   last) != 5 ||
            (strcmp(kind, "gpu") && strcmp(kind, "mig")))
            continue;
        d->percent = -1;
        d->is_mig = !strcmp(kind, "mig");
        d->parent = parent;
        if (d->is_mig) d->slices = (unsigned)atoi(last);
        else { parent = count; strcpy(d->fault, last); }
        count++;
    }
    fclose(file);
}

static device *of(void *handle) { return (device *)handle; }
static int faulty(device *d, const char *fault) { return !strcmp(d->fault, fault); }

static device *nth(int is_mig, int parent, unsigned index) {
    for (int i = 0; i < count; i++)
        if (devices[i].is_mig == is_mig && (!is_mig || devices[i].parent == parent) && !index--)
            return &devices[i];
    return NULL;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; read_state(); return broken ? MISMATCH : OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == MISMATCH ? "Driver/library version mismatch" : "fake error"; }

int nvmlDeviceGetCount_v2(unsigned *answer) {
    read_state();
    for (*answer = 0; nth(0, 0, *answer); ++*answer) {}
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    device *d = nth(0, 0, index);
    if (!d) return INVALID;
    if (faulty(d, "lost")) return LOST;
    *handle = d;
    return OK;
}

int nvmlDeviceGetUUID(void *h, char *text, unsigned length) {
    snprintf(text, length, "%s", of(h)->uuid);
    return OK;
}

int nvmlDeviceGetName(void *h, char *text, unsigned length) {
    snprintf(text, length, "%s", of(h)->name);
    return OK;
}

int nvmlDeviceGetMemoryInfo(void *h, unsigned long long *info) {
    if (faulty(of(h), "mute")) return UNKNOWN;
    info[0] = info[1] = (unsigned long long)of(h)->memory_mb << 20;
    info[2] = 0;
    return OK;
}

int nvmlDeviceGetMigMode(void *h, unsigned *now, unsigned *later) {
    int on = nth(1, (int)(of(h) - devices), 0) != NULL;
    if (!on && strstr(of(h)->name, "L4")) return NOT_SUPPORTED; /* a GPU without MIG */
    *now = *later = (unsigned)on;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *answer) { (void)h; *answer = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned index, void **handle) {
    device *d = nth(1, (int)(of(h) - devices), index);
    if (!d) return NOT_FOUND;
    *handle = d;
    return OK;
}

int nvmlDeviceGetAttributes_v2(void *h, void *answer) {
    struct { unsigned words[8]; unsigned long long memory_mb; } *a = answer;
    memset(a, 0, sizeof *a);
    a->words[6] = a->words[7] = of(h)->slices;
    a->memory_mb = of(h)->memory_mb;
    return OK;
}

int nvmlDeviceGetRemappedRows(void *h, unsigned *c, unsigned *u, unsigned *pending, unsigned *failed) {
    if (strstr(of(h)->name, "L4")) return NOT_SUPPORTED;
    *c = *u = *pending = 0;
    *failed = (unsigned)faulty(of(h), "rows");
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *h, unsigned *rates) {
    if (of(h)->percent < 0) return NOT_SUPPORTED;
    rates[0] = (unsigned)of(h)->percent;
    rates[1] = 0;
    return OK;
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gi, ci; } running_process;

int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *size, running_process *answer) {
    unsigned found = 0;
    for (int i = 0; i < running; i++) {
        if (strcmp(processes[i].uuid, of(h)->uuid)) continue;
        if (answer && found < *size) {
            memset(&answer[found], 0, sizeof *answer);
            answer[found].pid = processes[i].pid;
            answer[found].memory = (unsigned long long)processes[i].memory_mb << 20;
        }
        found++;
    }
    int small = found > *size || (found && !answer);
    *size = found;
    return small ? TOO_SMALL : OK;
}

typedef struct { unsigned pid; unsigned long long when; unsigned sm, memory, enc, dec; } sample;

int nvmlDeviceGetProcessUtilization(void *h, sample *answer, unsigned *size, unsigned long long since) {
    unsigned found = 0;
    (void)since;
    if (of(h)->is_mig) return NOT_SUPPORTED;
    for (int i = 0; i < running; i++) {
        if (strcmp(processes[i].uuid, of(h)->uuid) || processes[i].percent == 0) continue;
        if (processes[i].percent < 0) return NOT_SUPPORTED;
        if (answer) {
            memset(&answer[found], 0, sizeof *answer);
            answer[found].pid = processes[i].pid;
            answer[found].sm = (unsigned)processes[i].percent;
        }
        found++;
    }
    *size = found;
    return !found ? NOT_FOUND : answer ? OK : TOO_SMALL;
}
