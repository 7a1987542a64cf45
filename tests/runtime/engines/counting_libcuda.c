/* A small libcuda that counts: contexts, memory, streams, captures, graphs and their ends, for pycuda and emer_edge.
 *
 * Device memory is host memory, a stream is a queue that runs when it is waited for, and a graph is a queue that was
 * recorded. What CUDA forbids, and what this project forbids itself (memory freed by a thread that does not own the context), is
 * counted as a fault and refused. Prototypes are those of NVIDIA's public cuda.h; it shows nothing of a GPU's work.
 *
 *   cc -shared -fPIC -o libcuda.so.1 -Wl,-soname,libcuda.so.1 counting_libcuda.c -lpthread
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;
typedef uintptr_t CUdeviceptr;
typedef void (*CUhostFn)(void *);

enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALISED = 3, INVALID_CONTEXT = 201, INVALID_HANDLE = 400,
       CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_UNMATCHED = 903 };
enum { KNOWN = 512, DEEP = 32, WORKS = 256 };

typedef struct { CUhostFn call; void *given; void *to; const void *from; size_t bytes; } Work;
typedef struct { Work works[WORKS]; int count; } Queue;
typedef struct { Queue queued, recorded; int capturing; pthread_t captured_by; int alive; } Stream;
typedef struct { void *at; size_t bytes; int host; } Memory;

static struct {
    long contexts_retained, contexts_released, allocated, freed, streams, streams_destroyed, captures, captures_ended,
        graphs, graphs_destroyed, executables, executables_destroyed, launches, copies, pushes, pops, faults;
} counts;
static char fault[256];
static Memory memories[KNOWN];
static int initialised, fail_capture, multiprocessors = 16, integrated;
static long primary;                             /* retains of the primary context */
static pthread_t owner;                          /* who retained it last */
static _Thread_local int stack_depth;            /* every context is the primary one */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static CUresult wrong(const char *what, CUresult code)
{
    pthread_mutex_lock(&lock);
    if (!counts.faults++) snprintf(fault, sizeof fault, "%s", what);
    pthread_mutex_unlock(&lock);
    return code;
}

static CUresult need_context(const char *call)
{
    if (!initialised) return wrong("called before cuInit", NOT_INITIALISED);
    if (!stack_depth || !primary) return wrong(call, INVALID_CONTEXT);
    return OK;
}

/* What a test asks and sets. */
long counting(const char *name)
{
#define COUNT(field) if (!strcmp(name, #field)) return counts.field;
    COUNT(contexts_retained) COUNT(contexts_released) COUNT(allocated) COUNT(freed) COUNT(streams)
    COUNT(streams_destroyed) COUNT(captures) COUNT(captures_ended) COUNT(graphs) COUNT(graphs_destroyed)
    COUNT(executables) COUNT(executables_destroyed) COUNT(launches) COUNT(copies) COUNT(pushes) COUNT(pops)
    COUNT(faults)
    if (!strcmp(name, "current")) return stack_depth;
    return -1;
}
const char *first_fault(void) { return fault; }
void set_machine(int is_integrated, int captures_fail) { integrated = is_integrated; fail_capture = captures_fail; }

CUresult cuInit(unsigned flags) { initialised = 1; return flags ? INVALID_VALUE : OK; }
CUresult cuDriverGetVersion(int *version) { *version = 12060; return OK; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return initialised ? OK : NOT_INITIALISED; }
CUresult cuDeviceGet(CUdevice *device, int number) { *device = number; return number ? INVALID_VALUE : OK; }
CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    (void)device;
    snprintf(name, (size_t)length, "Orin");
    return OK;
}
CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    (void)device;
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? integrated : attribute == 16 ? multiprocessors : 0;
    return OK;
}
CUresult cuGetErrorName(CUresult code, const char **name)
{
    *name = code == CAPTURE_INVALIDATED ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" : "CUDA_ERROR";
    return OK;
}
CUresult cuGetErrorString(CUresult code, const char **text) { (void)code; *text = fault; return OK; }

/* Contexts: the primary one alone, on a stack of each thread. */
CUresult cuDevicePrimaryCtxRetain(void **context, CUdevice device)
{
    (void)device;
    if (!initialised) return wrong("retained before cuInit", NOT_INITIALISED);
    pthread_mutex_lock(&lock);
    counts.contexts_retained++;
    primary++;
    owner = pthread_self();
    pthread_mutex_unlock(&lock);
    *context = &primary;
    return OK;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    (void)device;
    if (!primary) return wrong("released a context that was not retained", INVALID_CONTEXT);
    pthread_mutex_lock(&lock);
    counts.contexts_released++;
    primary--;
    pthread_mutex_unlock(&lock);
    return OK;
}
CUresult cuCtxCreate_v4(void **context, void *more, unsigned flags, CUdevice device)
{
    (void)context; (void)more; (void)flags; (void)device;
    return wrong("made a context beside the primary one", INVALID_VALUE);
}
CUresult cuCtxDetach(void *context) { (void)context; return wrong("detached the primary context", INVALID_CONTEXT); }
CUresult cuCtxPushCurrent_v2(void *context)
{
    if (context != &primary || stack_depth == DEEP) return wrong("pushed what is no context", INVALID_CONTEXT);
    stack_depth++;
    counts.pushes++;
    return OK;
}
CUresult cuCtxPopCurrent_v2(void **context)
{
    if (!stack_depth) return wrong("popped an empty stack", INVALID_CONTEXT);
    stack_depth--;
    counts.pops++;
    *context = &primary;
    return OK;
}
CUresult cuCtxGetCurrent(void **context) { *context = stack_depth ? &primary : NULL; return OK; }
CUresult cuCtxGetDevice(CUdevice *device) { *device = 0; return need_context("asked for a device without a context"); }
CUresult cuCtxSynchronize(void) { return need_context("waited without a context"); }

/* Memory: who got it, and whether it came back. */
static CUresult keep(void **at, size_t bytes, int host)
{
    CUresult code = need_context("allocated without a context");
    if (code) return code;
    pthread_mutex_lock(&lock);
    for (int each = 0; each < KNOWN; each++) {
        if (memories[each].at) continue;
        *at = calloc(1, bytes ? bytes : 1);
        memories[each] = (Memory){*at, bytes, host};
        counts.allocated++;
        pthread_mutex_unlock(&lock);
        return OK;
    }
    pthread_mutex_unlock(&lock);
    return wrong("more allocations than it can count", 2);
}
static CUresult give_back(void *at, int host)
{
    CUresult code = need_context("freed without a context");
    if (code) return code;
    for (int each = 0; each < KNOWN; each++) {
        if (memories[each].at != at || !at) continue;
        if (memories[each].host != host) return wrong("freed host memory as device memory, or the reverse", INVALID_VALUE);
        if (!pthread_equal(owner, pthread_self()))
            return wrong("freed by another thread than retained the context", INVALID_CONTEXT);
        pthread_mutex_lock(&lock);
        memories[each].at = NULL;
        counts.freed++;
        pthread_mutex_unlock(&lock);
        free(at);
        return OK;
    }
    return wrong("freed what was not allocated, or twice", INVALID_VALUE);
}
CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes) { return keep((void **)at, bytes, 0); }
CUresult cuMemFree_v2(CUdeviceptr at) { return give_back((void *)at, 0); }
CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned flags) { (void)flags; return keep(at, bytes, 1); }
CUresult cuMemFreeHost(void *at) { return give_back(at, 1); }
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned flags)
{
    (void)flags;
    *device = (CUdeviceptr)host;
    return need_context("mapped without a context");
}

/* Streams: queues that run when they are waited for; in capture they record. */
static void run(Queue *queue)
{
    for (int each = 0; each < queue->count; each++) {
        Work *work = &queue->works[each];
        if (work->call) work->call(work->given);
        else memcpy(work->to, work->from, work->bytes);
    }
}
static CUresult put(Stream *stream, Work work)
{
    CUresult code = need_context("queued without a context");
    if (code) return code;
    if (!stream || !stream->alive) return wrong("queued on no stream", INVALID_HANDLE);
    Queue *queue = stream->capturing ? &stream->recorded : &stream->queued;
    if (queue->count == WORKS) return wrong("more queued than it can hold", INVALID_VALUE);
    queue->works[queue->count++] = work;
    return OK;
}
CUresult cuStreamCreate(Stream **stream, unsigned flags)
{
    CUresult code = need_context("made a stream without a context");
    if (code) return code;
    if (flags != 1) return wrong("a stream that waits for the default one", INVALID_VALUE);
    *stream = calloc(1, sizeof **stream);
    (*stream)->alive = 1;
    counts.streams++;
    return OK;
}
CUresult cuStreamDestroy_v2(Stream *stream)
{
    CUresult code = need_context("destroyed a stream without a context");
    if (code) return code;
    if (!stream->alive) return wrong("destroyed a stream twice", INVALID_HANDLE);
    stream->alive = 0;                            /* its memory stays, so that a second time is seen */
    counts.streams_destroyed++;
    return OK;
}
CUresult cuStreamSynchronize(Stream *stream)
{
    CUresult code = need_context("waited for a stream without a context");
    if (code) return code;
    if (stream->capturing) return wrong("waited for a stream in capture", CAPTURE_UNSUPPORTED);
    run(&stream->queued);
    stream->queued.count = 0;
    return OK;
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, Stream *stream)
{
    counts.copies++;
    return put(stream, (Work){NULL, NULL, (void *)to, from, bytes});
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, Stream *stream)
{
    counts.copies++;
    return put(stream, (Work){NULL, NULL, to, (void *)from, bytes});
}
CUresult cuLaunchHostFunc(Stream *stream, CUhostFn call, void *given)
{
    return put(stream, (Work){call, given, NULL, NULL, 0});
}
CUresult cuStreamIsCapturing(Stream *stream, int *status) { *status = stream->capturing; return OK; }

/* Captures and graphs. */
CUresult cuStreamBeginCapture_v2(Stream *stream, int mode)
{
    CUresult code = need_context("captured without a context");
    if (code) return code;
    if (mode != 1) return wrong("a capture that stops other threads", INVALID_VALUE);
    if (stream->capturing) return wrong("captured twice", CAPTURE_UNMATCHED);
    stream->capturing = 1;
    stream->captured_by = pthread_self();
    stream->recorded.count = 0;
    counts.captures++;
    return OK;
}
CUresult cuStreamEndCapture(Stream *stream, Queue **graph)
{
    *graph = NULL;
    if (!stream->capturing) return wrong("ended a capture that was not begun", CAPTURE_UNMATCHED);
    if (!pthread_equal(stream->captured_by, pthread_self())) return wrong("ended by another thread", CAPTURE_UNMATCHED);
    stream->capturing = 0;
    counts.captures_ended++;
    if (fail_capture) return CAPTURE_INVALIDATED;
    *graph = malloc(sizeof **graph);
    **graph = stream->recorded;
    counts.graphs++;
    return OK;
}
CUresult cuGraphInstantiateWithFlags(Queue **executable, Queue *graph, unsigned long long flags)
{
    if (flags || !graph) return wrong("instantiated no graph", INVALID_VALUE);
    *executable = malloc(sizeof **executable);
    **executable = *graph;
    counts.executables++;
    return OK;
}
CUresult cuGraphDestroy(Queue *graph) { counts.graphs_destroyed++; free(graph); return OK; }
CUresult cuGraphExecDestroy(Queue *executable) { counts.executables_destroyed++; free(executable); return OK; }
CUresult cuGraphLaunch(Queue *executable, Stream *stream)
{
    counts.launches++;
    CUresult code = OK;
    for (int each = 0; !code && each < executable->count; each++) code = put(stream, executable->works[each]);
    return code;
}
