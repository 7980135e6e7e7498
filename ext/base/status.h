/* Status codes and error text, the one way in which anything below SQL fails.
 *
 * A function that can fail returns a Status; the text is written where the fact is known, into the
 * caller's Err, and says what was given and what is allowed. The SQL room puts the table's name in
 * front of it and turns the code into SQLite's. Outputs are defined on failure too: whatever
 * *_clear() or *_free() takes. */
#ifndef REC_STATUS_H
#define REC_STATUS_H

typedef enum Status {
    ST_OK = 0,
    ST_BADARG,    /* the caller's value is not allowed */
    ST_NOMEM,     /* no memory */
    ST_CORRUPT,   /* stored bytes contradict themselves */
    ST_CANCELLED, /* the task was cancelled */
    ST_HOST,      /* the database said no; Err.host_code holds its code */
    ST_DEVICE,    /* a GPU is not there, or cannot do it */
    ST_NOROOM     /* a GPU has no memory for it now */
} Status;

typedef struct Err {
    int host_code;  /* SQLite's code with ST_HOST, else 0 */
    char text[600]; /* UTF-8, NUL-terminated */
} Err;

/* Write the text (printf form) into err, unless it is NULL, and return status. */
Status fail(Err *err, Status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for "no room for <what>". */
Status fail_nomem(Err *err, const char *what);

/* Put "prefix: " in front of the text that err holds. */
void err_prefix(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Return from the enclosing function when the call fails; only where nothing is owned. */
#define TRY(call) \
    do { \
        Status try_status = (call); \
        if (try_status != ST_OK) return try_status; \
    } while (0)

#endif
