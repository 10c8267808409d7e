/* Runs a compiled bundle with MindSpore Lite, without Python.
 *
 * Ownership: coopdraw_open makes a session and coopdraw_close frees it. Every pointer that a function returns belongs
 * to the session and lives until coopdraw_close, except that of coopdraw_output_data, which the next coopdraw_run of
 * the session ends, and that of coopdraw_error. What is given to a function is copied.
 *
 * Threads: different sessions may be used in different threads at the same time. One session takes one call at a time;
 * only coopdraw_cancel may come from another thread while coopdraw_run runs.
 *
 * Errors: functions that can fail return a status. The text of the last failure in this thread is coopdraw_error().
 */
#ifndef COOPDRAW_H
#define COOPDRAW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COOPDRAW_API __attribute__((visibility("default")))

typedef enum {
  COOPDRAW_OK = 0,
  COOPDRAW_BAD_INPUT = 1,  /* names, sizes or values that the bundle does not take; a misuse of this interface */
  COOPDRAW_BAD_BUNDLE = 2, /* incomplete, damaged, or without what was asked for; nothing was run */
  COOPDRAW_DEVICE = 3,     /* MindSpore Lite cannot load or run a model */
  COOPDRAW_CANCELLED = 4,  /* the progress function or coopdraw_cancel ended the run */
  COOPDRAW_NO_MEMORY = 5
} coopdraw_status;

typedef enum {
  COOPDRAW_FLOAT16 = 0,
  COOPDRAW_FLOAT32,
  COOPDRAW_FLOAT64,
  COOPDRAW_INT8,
  COOPDRAW_UINT8,
  COOPDRAW_INT32,
  COOPDRAW_INT64,
  COOPDRAW_BOOL /* one byte, 0 or 1 */
} coopdraw_dtype;

/* Which graph of the bundle a session runs. */
typedef enum { COOPDRAW_SAMPLING = 0, COOPDRAW_TEXT_ENCODER = 1 } coopdraw_graph;

/* Set all of it to 0 for the defaults: `coopdraw_options options = {0};` */
typedef struct {
  coopdraw_graph graph;
  int threads;            /* of the device's own; 0: its choice */
  int device;             /* number of the NPU; 0 on a CPU */
  int trust_files;        /* not 0: the caller has compared the files with the manifest, don't read them twice */
  const char* model_file;  /* that converter_lite made of this graph, instead of the bundle's own form; or NULL */
  const char* config_file; /* of MindSpore Lite, for Model::LoadConfig; or NULL */
} coopdraw_options;

/* An input or output: extents of the dense array, row by row, in the machine's byte order. */
typedef struct {
  const char* name;
  const char* meaning;
  coopdraw_dtype dtype;
  int rank;
  const int64_t* shape; /* `rank` extents; the first is the batch */
  size_t bytes;
} coopdraw_tensor;

typedef struct coopdraw_session coopdraw_session;

/* Called in the thread of coopdraw_run after every step: `done` of `steps`. Anything but 0 ends the run. */
typedef int (*coopdraw_progress)(int done, int steps, void* context);

/* Reads the manifest of the folder `bundle`, compares every file with its hash and loads the graph. `options` may be
 * NULL. `*session` is NULL unless the status is COOPDRAW_OK. */
COOPDRAW_API coopdraw_status coopdraw_open(const char* bundle, const coopdraw_options* options,
                                           coopdraw_session** session);

COOPDRAW_API size_t coopdraw_input_count(const coopdraw_session* session);
COOPDRAW_API size_t coopdraw_output_count(const coopdraw_session* session);
/* In the manifest's order; NULL for an index that is too large. */
COOPDRAW_API const coopdraw_tensor* coopdraw_input(const coopdraw_session* session, size_t index);
COOPDRAW_API const coopdraw_tensor* coopdraw_output(const coopdraw_session* session, size_t index);

/* Copies `bytes` bytes into an input, which keeps them for all later runs. NaN and infinity are refused. */
COOPDRAW_API coopdraw_status coopdraw_set(coopdraw_session* session, const char* name, const void* data, size_t bytes);

/* Of a text encoder: makes a caption's words one row of its input. Rows that were never set are empty captions. */
COOPDRAW_API coopdraw_status coopdraw_set_caption(coopdraw_session* session, size_t row, const char* caption);

/* Runs the graph; every input must have been set. `progress` may be NULL. After a failure there are no outputs, and the
 * session can be run again. */
COOPDRAW_API coopdraw_status coopdraw_run(coopdraw_session* session, coopdraw_progress progress, void* context);

/* Ends the run that is under way as soon as its step is done; no effect between runs. From any thread. */
COOPDRAW_API void coopdraw_cancel(coopdraw_session* session);

/* Copies an output of the last run into `data`, which has room for `bytes` bytes, exactly those of the output. */
COOPDRAW_API coopdraw_status coopdraw_get(const coopdraw_session* session, const char* name, void* data, size_t bytes);

/* The output itself, until the next run; NULL when there is none. */
COOPDRAW_API const void* coopdraw_output_data(const coopdraw_session* session, size_t index);

/* One sentence with the cause and the fix; "" if nothing failed yet. Valid until the next failure in this thread. */
COOPDRAW_API const char* coopdraw_error(void);

/* NULL is allowed. */
COOPDRAW_API void coopdraw_close(coopdraw_session* session);

#ifdef __cplusplus
}
#endif
#endif
