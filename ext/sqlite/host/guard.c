#include "guard.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How deep a thread is: under a key of its own, for LeakSanitizer stumbles over _Thread_local in a
 * library that is loaded late. DEEPEST leaves room for a view over a model over a view over a
 * model. */
enum { DEEPEST = 8 };

static pthread_key_t depth_key;

static pthread_once_t depth_once = PTHREAD_ONCE_INIT;

static int has_depth_key;

static void make_depth_key(void) { has_depth_key = pthread_key_create(&depth_key, NULL) == 0; }

Status guard_enter(Err *err) {
    pthread_once(&depth_once, make_depth_key);
    if (!has_depth_key) return fail_nomem(err, "a thread's key");
    intptr_t depth = (intptr_t)pthread_getspecific(depth_key);
    if (depth >= DEEPEST) return fail(err, ST_BADARG, "it reads a view that reads it");
    return pthread_setspecific(depth_key, (void *)(depth + 1)) == 0
        ? ST_OK
        : fail_nomem(err, "a thread's key");
}

void guard_leave(void) {
    pthread_setspecific(depth_key, (void *)((intptr_t)pthread_getspecific(depth_key) - 1));
}

Status guard_enter_table(int *busy, Err *err) {
    if (*busy)
        return fail(err, ST_BADARG,
            "it is in use by itself: a view that it reads, or a trigger on a table that it writes, "
            "uses it again");
    TRY(guard_enter(err));
    *busy = 1;
    return ST_OK;
}

void guard_leave_table(int *busy) {
    *busy = 0;
    guard_leave();
}

Status guard_source(sqlite3 *db, const char *schema, const char *table, int ordinary, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(db, 0, &found, err,
        "SELECT 1 FROM \"%w\".sqlite_schema WHERE lower(name)=lower(%Q) AND (type='table' AND "
        "(rootpage>0 OR NOT %d) OR type='view' AND NOT %d)",
        schema, table, ordinary, ordinary));
    return found ? ST_OK
                 : fail(err, ST_BADARG, "no %s %.100s.%.100s",
                       ordinary ? "ordinary table" : "table or view", schema, table);
}

static const char SERVING[] = "rec_is_serving_only";

static void is_serving_only(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    sqlite3_result_int(context, 1);
}

Status guard_forbid_training(sqlite3 *db, Err *err) {
    sqlite3_int64 found;
    TRY(sql_integer(
        db, 0, &found, err, "SELECT 1 FROM pragma_function_list WHERE name=%Q LIMIT 1", SERVING));
    if (found) return ST_OK;
    int code = sqlite3_create_function_v2(
        db, SERVING, 0, SQLITE_UTF8, NULL, is_serving_only, NULL, NULL, NULL);
    return code ? sql_failed(err, db, code) : ST_OK;
}

Status guard_may_train(sqlite3 *db, Err *err) {
    const char *wish = getenv("REC_TRAINING");
    sqlite3_int64 found;
    if (wish && strcmp(wish, "0") == 0)
        return fail(err, ST_BADARG, "REC_TRAINING=0: this process serves only");
    TRY(sql_integer(
        db, 0, &found, err, "SELECT 1 FROM pragma_function_list WHERE name=%Q LIMIT 1", SERVING));
    return found ? fail(err, ST_BADARG, "this connection serves only (rec_serving_only)") : ST_OK;
}
