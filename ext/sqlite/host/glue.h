/* What every file of this room shares: SQLite's API (loadable or linked), statuses turned into
 * SQLite's codes, SQL with quoted names, values turned into keys and vectors. Only this room knows
 * SQLite. */
#ifndef REC_GLUE_H
#define REC_GLUE_H

#ifdef SQLITE_CORE
#include <sqlite3.h>
#else
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#endif

#include "../../base/bytes.h"
#include "../../base/keymap.h"
#include "../../base/status.h"
#include "../../base/task.h"

/* Status to SQLite's code. */
int glue_code(Status status, const Err *err);

/* A Status for a failed SQLite call, with SQLite's own text. */
Status glue_host(Err *err, sqlite3 *db, int code);

/* Put "module name: text" into the table's zErrMsg and return the code. */
int glue_vtab_error(
    sqlite3_vtab *vtab, const char *module, const char *name, Status status, Err *err);

/* The same for a function: "rec_x: text". */
void glue_function_error(
    sqlite3_context *context, const char *function, Status status, const Err *err);

/* Prepare SQL in sqlite3_mprintf's form (%w for names inside "...", %Q for strings). */
Status glue_prepare(sqlite3 *db, sqlite3_stmt **out, Err *err, const char *format, ...);

/* Prepare, step to the end, finalize. */
Status glue_execute(sqlite3 *db, Err *err, const char *format, ...);

/* One integer from SQL, or `otherwise` when there is no row. */
Status glue_integer(
    sqlite3 *db, sqlite3_int64 otherwise, sqlite3_int64 *out, Err *err, const char *format, ...);

/* Has the table or view this column? By name in any case. */
Status glue_has_column(
    sqlite3 *db, const char *schema, const char *table, const char *column, int *out, Err *err);

/* Step once: *has_row says whether a row came. */
Status glue_step(sqlite3 *db, sqlite3_stmt *statement, int *has_row, Err *err);

/* How a declared column type converts what is compared with it (SQLite's affinity rules, "Datatypes
 * in SQLite" 3.1). */
typedef enum Affinity {
    AFFINITY_NONE,
    AFFINITY_TEXT,
    AFFINITY_INTEGER,
    AFFINITY_REAL,
    AFFINITY_NUMERIC
} Affinity;
Affinity affinity_of(const char *declared_type);
/* A type name with that affinity. A declared type may be any text: this, and not the text, goes
 * into SQL. */
const char *affinity_type(Affinity affinity);

/* A value as a key under the affinity of its column. Returns 0 when it cannot be one: NULL, a BLOB,
 * a fraction. The text belongs to the value or, for a number that becomes text, to buffer (of
 * KEY_BUFFER bytes). */
enum { KEY_BUFFER = 32 };
int glue_key(sqlite3_value *value, Affinity affinity, char *buffer, Key *out);
/* The same for a key that came from JSON. */
Key glue_convert_key(Key key, Affinity affinity, char *buffer);

/* The error for a value that can be no key, with its type. */
Status glue_no_key(const char *what, sqlite3_value *value, Err *err);

/* A whole number: an INTEGER, or a number or text that is one (5.0, '5'); else an error that says
 * what was given. */
Status glue_whole(const char *what, sqlite3_value *value, int64_t *out, Err *err);

void glue_result_key(sqlite3_context *context, Key key);

/* A list of keys from a JSON array such as [17, "x"]. Texts live in the list. */
typedef struct KeyList {
    Key *key;
    size_t n;
    void *json; /* owns the texts */
    char *buffer;
} KeyList;
Status key_list_parse(
    KeyList *out, const char *what, const char *json, Affinity affinity, Err *err);
void key_list_clear(KeyList *list);

/* A vector argument: BLOB of little-endian float32, or a JSON array of numbers. *owned is to be
 * mem_free'd (or NULL). NaN, infinity, a length that is no multiple of 4, and no element at all are
 * errors. */
Status glue_vector(sqlite3_value *value, const float **out, int *out_dim, float **owned, Err *err);

/* Which file holds the schema: device and inode, or the connection for what has no file. 24
 * bytes. */
typedef struct FileId {
    sqlite3_uint64 part[3];
} FileId;
FileId glue_file_id(sqlite3 *db, const char *schema);

/* A poll function for Task: has this connection been interrupted, by sqlite3_interrupt() or by a
 * progress handler that says no (the stop button of many hosts; Python hears Ctrl-C only while such
 * a handler runs)? The argument is an InterruptPoll.
 *
 * SQLite asks a progress handler every so many instructions of its own, and while we compute it
 * runs none. So the probe is a statement that does nothing, for about 20,000 instructions every 20
 * ms: a handler set for up to 100,000 instructions is asked every 100 ms, for 2 % of one thread's
 * time. */
typedef struct InterruptPoll {
    sqlite3 *db;
    sqlite3_stmt *probe; /* counts: steps to SQLITE_INTERRUPT */
    double last;         /* when it was last stepped */
} InterruptPoll;
Status interrupt_poll_init(InterruptPoll *poll, sqlite3 *db, Err *err);
void interrupt_poll_clear(InterruptPoll *poll);
int interrupt_poll(void *poll);

/* The schema that holds table `name<suffix>`: "schema.name" picks one, else temp, main, attached in
 * SQLite's order. Both outputs are sqlite3_malloc'ed. */
Status glue_find_table(sqlite3 *db, const char *what, const char *name, const char *suffix,
    char **out_schema, char **out_name, Err *err);

/* Call visit for every virtual table of a module that has its shadow table name<suffix>, in all
 * schemas: temp, main, attached; by name. */
typedef Status (*GlueVisit)(void *context, const char *schema, const char *name, Err *err);
Status glue_each_table(
    sqlite3 *db, const char *module, const char *suffix, GlueVisit visit, void *context, Err *err);

/* CREATE VIRTUAL TABLE's arguments: "key = value", the value unquoted. Returns 0 when there is no
 * '='. Both outputs are sqlite3_malloc'ed. */
int glue_split_argument(const char *argument, char **out_key, char **out_value);

/* Text of '...' or "..." or [..] or `..` without the quotes; else a trimmed copy.
 * sqlite3_malloc'ed. */
char *glue_unquote(const char *text, int len);

#endif
