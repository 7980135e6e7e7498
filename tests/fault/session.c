/* session: what our tables do when the n-th allocation fails, for every n until the work passes.
 *
 *     session [--all] [PART_OF_A_SCENARIO'S_NAME]     last line: "N passed, N failed"
 *
 * A scenario is a list of steps, each some SQL. Every attempt at a step begins with a fresh
 * connection to a copy of the database as the steps before left it. Then allocation n fails: one of
 * the extension (mem_fail_at), of SQLite (SQLITE_CONFIG_MALLOC), or of jansson, that one alone or
 * every one from there on. SQLite's are very many: without --all only every few of them (STRIDE).
 * What FAISS allocates does not fail here: in its OpenMP regions that ends the process. What must
 * hold:
 *
 *   - The step passes with the rows of a run without faults, or fails, with a word about memory
 *     unless the allocation was jansson's. It never crashes.
 *   - A failed statement changes nothing: not a byte of any table where the transaction was rolled
 *     back with it, and otherwise the content after the statements before it, which a COMMIT then
 *     keeps.
 *   - The connection goes on: searches find what a scan of the same table finds, integrity-check
 *     passes, and the same step, tried again without faults, passes.
 *   - After the connection is closed nothing is left allocated, by the extension or by SQLite.
 *
 * The run without faults is itself compared with plain SQL over an ordinary table (`truth`). A step
 * counts as passed when all attempts at it are. Each scenario and sort of fault has a process of
 * its own, two at a time; where one crashes, a new one goes on behind the place. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <jansson.h>
#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../ext/base/memory.h"
#include "scenarios.h"

int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api);

/* ---- failing allocations ---- */

enum { OURS, HOST, JSON, N_ALLOCATORS };
static const char *const WHOSE[] = {"the extension's", "SQLite's", "jansson's"};
/* of n; second: every one from there on */
static const int STRIDE[2][N_ALLOCATORS] = {{1, 7, 1}, {1, 31, 1}};

static sqlite3_mem_methods real;
/* 0: never. SQLite's with its mutex held, jansson's on this thread alone. */
static int64_t countdown[N_ALLOCATORS];
static int is_sticky;

static int fails(int whose) {
    if (!countdown[whose] || --countdown[whose]) return 0;
    countdown[whose] = is_sticky;
    return 1;
}

static void *host_malloc(int bytes) { return fails(HOST) ? NULL : real.xMalloc(bytes); }

static void *host_realloc(void *block, int bytes) {
    return fails(HOST) ? NULL : real.xRealloc(block, bytes);
}

static void *json_malloc_or_fail(size_t bytes) { return fails(JSON) ? NULL : malloc(bytes); }

static void arm(int whose, int64_t n, int sticky) {
    if (whose == OURS) mem_fail_at(n, sticky);
    is_sticky = sticky;
    countdown[whose] = n;
}

/* Switch faults off. Gives 1 if allocation n had come (for sticky faults also where it would have
 * come next). */
static int disarm(int whose, int64_t n, int sticky) {
    int fired = countdown[whose] == 0 || (sticky && countdown[whose] == 1);
    if (whose == OURS && sticky) { /* it fails again */
        void *probe = mem_array(1, 1);
        fired = !probe;
        mem_free(probe);
    } else if (whose == OURS) { /* or one of these would have been it */
        fired = 1;
        for (int64_t i = 0; fired && i < n; i++) {
            void *probe = mem_array(1, 1);
            fired = probe != NULL;
            mem_free(probe);
        }
    }
    countdown[whose] = 0;
    mem_fail_at(0, 0);
    return fired;
}

/* ---- text that grows, outside of both allocators ---- */

typedef struct Text {
    char *at;
    size_t len, room;
} Text;

static void add(Text *text, const char *format, ...) {
    va_list args;
    if (text->room - text->len < 4096)
        text->at = realloc(text->at, text->room = text->room * 2 + 8192);
    va_start(args, format);
    int n = vsnprintf(text->at + text->len, text->room - text->len, format, args);
    va_end(args);
    text->len += n < 4095 ? (size_t)n : 4095;
}

static void add_hex(Text *text, const unsigned char *blob, size_t len) {
    for (size_t from = 0; from < len; from += 512) {
        add(text, "%s", "");
        for (size_t b = from; b < len && b < from + 512; b++) {
            text->at[text->len++] = "0123456789abcdef"[blob[b] >> 4];
            text->at[text->len++] = "0123456789abcdef"[blob[b] & 15];
        }
    }
}

static void empty(Text *text) {
    text->len = 0;
    add(text, "%s", "");
}

static int same(const Text *a, const Text *b) {
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

/* ---- SQL ---- */

static void add_row(Text *out, sqlite3_stmt *statement) {
    /* no conversion, which would allocate */
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        if (i) add(out, "|");
        const unsigned char *blob;
        switch (sqlite3_column_type(statement, i)) {
        case SQLITE_INTEGER: add(out, "%lld", sqlite3_column_int64(statement, i)); break;
        case SQLITE_FLOAT: add(out, "%.12g", sqlite3_column_double(statement, i)); break;
        case SQLITE_TEXT:
            add(out, "%.4000s", (const char *)sqlite3_column_text(statement, i));
            break;
        case SQLITE_BLOB:
            blob = sqlite3_column_blob(statement, i);
            add_hex(out, blob, (size_t)sqlite3_column_bytes(statement, i));
            break;
        default: break;
        }
    }
    add(out, "\n");
}

/* One statement; *sql moves behind it. Its rows go to `out`, also those before an error. */
static int run_one(sqlite3 *db, const char **sql, Text *out) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, *sql, -1, &statement, sql);
    if (code != SQLITE_OK || !statement) return code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) add_row(out, statement);
    sqlite3_finalize(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int run(sqlite3 *db, const char *sql, Text *out) {
    int code = SQLITE_OK;
    while (code == SQLITE_OK && *sql) code = run_one(db, &sql, out);
    return code;
}

/* Does it hold what two runs do not have in common? Stamps are random, and are part of a stored
 * structure; trainings take their time, and the audit has the clock's. */
static int is_random_table(const char *name) {
    static const char *const ends[] = {
        "changes", "queue", "segment", "versions", "chunks", "audit", "facts", "trials"};
    const char *end = strrchr(name, '_');
    for (size_t i = 0; end && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(end + 1, ends[i]) == 0) return 1;
    return 0;
}

/* What is read of each table: of a virtual one what a scan gives (of a predictor nothing: it may
 * have learnt nothing yet), of the others every byte, or only what two runs have in common. */
static int read_tables(sqlite3 *db, int every_byte, Text *out) {
    sqlite3_stmt *names;
    int code = sqlite3_prepare_v2(
        db, "SELECT name, rootpage, type, sql FROM sqlite_schema ORDER BY name", -1, &names, NULL);
    empty(out);
    while (code == SQLITE_OK && sqlite3_step(names) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(names, 0);
        int is_virtual = sqlite3_column_int(names, 1) == 0;
        const char *text = (const char *)sqlite3_column_text(names, 3);
        int is_predictor = is_virtual && text && strstr(text, "rec_predictor");
        add_row(out, names);
        if (strcmp((const char *)sqlite3_column_text(names, 2), "table") || is_predictor ||
            (every_byte ? is_virtual : is_random_table(name)))
            continue;
        char *sql = sqlite3_mprintf(
            is_virtual ? "SELECT rowid, * FROM \"%w\"" : "SELECT * FROM \"%w\"", name);
        code = run(db, sql, out);
        sqlite3_free(sql);
    }
    sqlite3_finalize(names);
    return code;
}

/* ---- what must hold in a connection that is whole ---- */

typedef struct Hit {
    double distance;
    sqlite3_int64 id;
} Hit;

static int closer(const void *a, const void *b) {
    const Hit *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

enum { MOST_HITS = 200 };

/* rowid and distance of each row of the statement; the distance from `query` where the second
 * column is a vector. */
static int hits(
    sqlite3 *db, const char *format, const char *name, const float query[2], Hit *out, int *n) {
    sqlite3_stmt *statement;
    char *sql = sqlite3_mprintf(format, name);
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    sqlite3_free(sql);
    *n = 0;
    if (code != SQLITE_OK) return code;
    sqlite3_bind_blob(statement, 1, query, 8, SQLITE_STATIC);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && *n < MOST_HITS) {
        double distance = sqlite3_column_double(statement, 1);
        if (sqlite3_column_type(statement, 1) == SQLITE_BLOB) {
            const float *row = sqlite3_column_blob(statement, 1);
            double dx = (double)row[0] - query[0], dy = (double)row[1] - query[1];
            distance = sqrt(dx * dx + dy * dy);
        }
        out[(*n)++] = (Hit){distance, sqlite3_column_int64(statement, 0)};
    }
    sqlite3_finalize(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Does a search find what a scan finds? All rows in their order, and with a small k right ones. */
static int search_is_right(sqlite3 *db, const char *name, Text *why) {
    static const float query[2] = {2.25f, 1.125f};
    Hit all[MOST_HITS], found[MOST_HITS], few[MOST_HITS];
    int n_all, n_found, n_few;
    int code = hits(
        db, "SELECT rowid, e FROM \"%w\" WHERE ?1 IS NOT NULL", name, query, all, &n_all);
    if (code == SQLITE_OK)
        code = hits(db,
            "SELECT rowid, distance FROM \"%w\" WHERE e MATCH ?1 AND k = 1000 ORDER BY rank", name,
            query, found, &n_found);
    if (code == SQLITE_OK)
        code = hits(db,
            "SELECT rowid, distance FROM \"%w\" WHERE e MATCH ?1 AND k = 4 ORDER BY rank", name,
            query, few, &n_few);
    if (code != SQLITE_OK) {
        add(why, "a search of %s: %s", name, sqlite3_errmsg(db));
        return 0;
    }
    qsort(all, (size_t)n_all, sizeof *all, closer);
    int right = n_found == n_all && n_few == (n_all < 4 ? n_all : 4);
    for (int i = 0; right && i < n_all; i++) right = closer(&all[i], &found[i]) == 0;
    for (int i = 0; right && i < n_few; i++)
        right = bsearch(&few[i], all, (size_t)n_all, sizeof *all, closer) &&
            (i == 0 || closer(&few[i - 1], &few[i]) < 0);
    if (!right)
        add(why, "%s: a search finds %d rows (and %d of 4), a scan %d, or they differ", name,
            n_found, n_few, n_all);
    return right;
}

/* Every index of the database searches rightly as it is loaded, and all of ours is sound. */
static int is_whole(sqlite3 *db, Text *why) {
    char names[8][64];
    int is_index[8], n = 0, right = 1;
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(db,
        "SELECT name, sql LIKE '%rec_index%' FROM sqlite_schema WHERE type = 'table' AND rootpage "
        "= 0",
        -1, &statement, NULL);
    while (code == SQLITE_OK && n < 8 && sqlite3_step(statement) == SQLITE_ROW) {
        is_index[n] = sqlite3_column_int(statement, 1);
        snprintf(
            names[n++], sizeof names[0], "%s", (const char *)sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    for (int i = 0; i < n && right; i++) {
        right = !is_index[i] || search_is_right(db, names[i], why);
        char *sql = sqlite3_mprintf(
            "INSERT INTO \"%w\"(\"%w\") VALUES('integrity-check')", names[i], names[i]);
        if (right && sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
            add(why, "%s", sqlite3_errmsg(db));
            right = 0;
        }
        sqlite3_free(sql);
    }
    return right;
}

/* ---- a step ---- */

enum { MOST_STATEMENTS = 24 };

typedef struct Image {
    unsigned char *bytes;
    size_t len;
} Image;

/* What a run without faults does. */
typedef struct Expected {
    Text rows;                       /* the output */
    Text before;                     /* every byte of the tables */
    Text after[MOST_STATEMENTS + 1]; /* the content after so many statements */
    int committed[MOST_STATEMENTS + 1];
    int n; /* statements */
} Expected;

static sqlite3 *open_copy(const Image *image) {
    sqlite3 *db = NULL;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
        sqlite3_recommend_init(db, NULL, NULL) != SQLITE_OK_LOAD_PERMANENTLY)
        abort();
    if (!image->bytes) return db;
    unsigned char *copy = sqlite3_malloc64(image->len);
    memcpy(copy, image->bytes, image->len);
    if (sqlite3_deserialize(db, "main", copy, (sqlite3_int64)image->len, (sqlite3_int64)image->len,
            SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) != SQLITE_OK)
        abort();
    return db;
}

static void keep(Image *image, sqlite3 *db) {
    sqlite3_int64 len;
    unsigned char *bytes = sqlite3_serialize(db, "main", &len, 0);
    free(image->bytes);
    image->bytes = malloc((size_t)len);
    image->len = (size_t)len;
    memcpy(image->bytes, bytes, image->len);
    sqlite3_free(bytes);
}

/* The run without faults, which must be right. The image becomes the one after the step. */
static int expect(const Step *step, Image *image, Expected *out, Text *why) {
    sqlite3 *db = open_copy(image);
    Text truth = {0};
    int code = step->before ? run(db, step->before, &truth) : SQLITE_OK;
    out->n = 0;
    if (code == SQLITE_OK) code = read_tables(db, 1, &out->before);
    if (code == SQLITE_OK) code = read_tables(db, 0, &out->after[0]);
    out->committed[0] = 1;
    empty(&out->rows);
    for (const char *sql = step->sql; code == SQLITE_OK && *sql && out->n < MOST_STATEMENTS;) {
        code = run_one(db, &sql, &out->rows);
        out->committed[++out->n] = sqlite3_get_autocommit(db);
        if (code == SQLITE_OK) code = read_tables(db, 0, &out->after[out->n]);
    }
    empty(&truth);
    if (code == SQLITE_OK && step->truth) code = run(db, step->truth, &truth);
    if (code != SQLITE_OK) add(why, "without faults: %s", sqlite3_errmsg(db));
    int right = code == SQLITE_OK && is_whole(db, why);
    if (right && step->truth && !same(&truth, &out->rows)) {
        add(why, "without faults: the rows are\n%s and should be\n%s", out->rows.at, truth.at);
        right = 0;
    }
    keep(image, db);
    free(truth.at);
    sqlite3_close(db);
    return right;
}

/* After a statement failed: nothing of it is left, and the step passes now. */
static int is_undone(sqlite3 *db, const Step *step, const Expected *expected, int done, Text *why) {
    Text now = {0};
    int is_open = !sqlite3_get_autocommit(db), from = done, right = 1;
    if (is_open) sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    /* the transaction was rolled back as a whole */
    while (!is_open && !expected->committed[from]) from--;
    if (read_tables(db, from == 0, &now) != SQLITE_OK ||
        !same(&now, from ? &expected->after[from] : &expected->before)) {
        add(why, "statement %d failed and the tables are not as they were after statement %d: %s",
            done + 1, from, sqlite3_errmsg(db));
        right = 0;
    }
    right = right && is_whole(db, why);
    if (right && from == 0) {
        empty(&now);
        if (run(db, step->sql, &now) != SQLITE_OK || !same(&now, &expected->rows)) {
            add(why, "tried again without faults: %s\n%s", sqlite3_errmsg(db), now.at);
            right = 0;
        } else if (read_tables(db, 0, &now) != SQLITE_OK ||
            !same(&now, &expected->after[expected->n])) {
            add(why, "tried again without faults the tables differ");
            right = 0;
        }
    }
    free(now.at);
    return right;
}

/* One attempt with a fault. `why` stays empty if all is well; *fired says whether the allocation
 * was reached. */
static void attempt(const Step *step, const Image *image, const Expected *expected, int whose,
    int64_t n, int sticky, int *fired, Text *why) {
    int64_t blocks = mem_live();
    sqlite3_int64 bytes = sqlite3_memory_used();
    sqlite3 *db = open_copy(image);
    Text rows = {0};
    int done = 0, code = step->before ? run(db, step->before, &rows) : SQLITE_OK, right = 1;

    empty(&rows);
    arm(whose, n, sticky);
    for (const char *sql = step->sql; code == SQLITE_OK && *sql; done += code == SQLITE_OK)
        code = run_one(db, &sql, &rows);
    char message[300];
    *fired = disarm(whose, n, sticky);
    snprintf(message, sizeof message, "%s", sqlite3_errmsg(db));
    if (code == SQLITE_OK) {
        right = same(&rows, &expected->rows);
        if (!right) add(why, "passed with other rows:\n%s", rows.at);
        if (right &&
            (read_tables(db, 0, &rows) != SQLITE_OK ||
                !same(&rows, &expected->after[expected->n]))) {
            add(why, "passed and the tables differ: %s", sqlite3_errmsg(db));
            right = 0;
        }
        right = right && is_whole(db, why);
    } else {
        right = is_undone(db, step, expected, done, why);
        /* jansson calls what it could not hold a syntax error */
        if (right &&
            (!*fired ||
                (whose != JSON && (code & 0xff) != SQLITE_NOMEM && !strstr(message, "memory"))))
            add(why, "failed with code %d and '%s'", code, message);
    }
    if (!sqlite3_get_autocommit(db)) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    if (sqlite3_close(db) != SQLITE_OK) add(why, "; a statement is left");
    if (mem_live() != blocks) add(why, "; %lld blocks are left", (long long)(mem_live() - blocks));
    if (sqlite3_memory_used() != bytes)
        add(why, "; %lld bytes of SQLite's are left", (long long)(sqlite3_memory_used() - bytes));
    free(rows.at);
}

/* Opening a connection and registering everything. */
static void attempt_open(int whose, int64_t n, int sticky, int *fired, Text *why) {
    int64_t blocks = mem_live();
    sqlite3_int64 bytes = sqlite3_memory_used();
    sqlite3 *db = NULL;
    char *error = NULL;
    arm(whose, n, sticky);
    int code = sqlite3_open(":memory:", &db);
    if (code == SQLITE_OK) code = sqlite3_recommend_init(db, &error, NULL);
    *fired = disarm(whose, n, sticky);
    if (code != SQLITE_OK_LOAD_PERMANENTLY && (!*fired || code != SQLITE_NOMEM))
        add(why, "opening failed with code %d", code);
    if (code == SQLITE_OK_LOAD_PERMANENTLY &&
        sqlite3_exec(db, "SELECT rec_l2('[1]', '[2]')", NULL, NULL, NULL))
        add(why, "%s", sqlite3_errmsg(db));
    sqlite3_free(error);
    if (sqlite3_close(db) != SQLITE_OK || mem_live() != blocks || sqlite3_memory_used() != bytes)
        add(why, "something is left");
}

/* ---- processes ---- */

typedef struct Job {
    const Scenario *scenario;
    int whose, sticky, stride;
    pid_t process;
    /* written by the process */
    int step; /* 0: opening */
    int64_t n;
    int is_wrong; /* an attempt at this step was */
    int64_t attempts, passed, failed;
} Job;

static void say_wrong(Job *job, const char *sql, const char *why) {
    if (!job->is_wrong)
        printf("FAIL %s, step %d (%.80s): %s allocation %lld fails%s: %.1500s\n",
            job->scenario->name, job->step, sql, WHOSE[job->whose], (long long)job->n,
            job->sticky ? ", and all after it" : "", why);
    job->is_wrong = 1;
    fflush(stdout);
}

static void run_job(Job *job) {
    const Scenario *scenario = job->scenario;
    Image image = {0};
    Expected expected = {0};
    Text why = {0}, nothing = {0};
    int n_steps = 0, first = job->step, fired;

    while (n_steps < (int)(sizeof scenario->step / sizeof *scenario->step) &&
        scenario->step[n_steps].sql)
        n_steps++;
    sqlite3 *db = open_copy(&image);
    if (run(db, scenario->setup, &nothing) != SQLITE_OK) {
        say_wrong(job, scenario->setup, sqlite3_errmsg(db));
        job->failed++;
        return;
    }
    keep(&image, db);
    sqlite3_close(db);
    for (int s = 0; s <= n_steps; s++) {
        const Step *step = s ? &scenario->step[s - 1] : NULL;
        Image start = {0};
        int can_pass = 1;
        empty(&why);
        if (step) {
            start = (Image){malloc(image.len), image.len};
            memcpy(start.bytes, image.bytes, image.len);
            can_pass = expect(step, &image, &expected, &why);
        }
        if (s >= first) {
            if (s > first || job->n == 0) job->is_wrong = 0;
            int64_t n = s == first && job->n ? job->n + 1 : 1;
            job->step = s;
            if (why.len) say_wrong(job, step->sql, why.at);
            for (fired = can_pass; fired;) {
                job->n = n;
                empty(&why);
                if (step)
                    attempt(step, &start, &expected, job->whose, n, job->sticky, &fired, &why);
                else attempt_open(job->whose, n, job->sticky, &fired, &why);
                job->attempts++;
                if (why.len) say_wrong(job, step ? step->sql : "opening", why.at);
                n += job->stride;
            }
            if (job->is_wrong) job->failed++;
            else job->passed++;
        }
        free(start.bytes);
    }
}

/* The processes that are at work; a job whose process crashed goes on behind the place. */
static void start_job(Job *job) {
    fflush(stdout);
    pid_t process = fork();
    if (process == 0) {
        alarm(600);
        run_job(job);
        fflush(stdout);
        _exit(0);
    }
    job->process = process; /* shared: not in the child, where it is 0 */
}

/* Where jansson 2.14 cannot grow its buffer for a string past 15 bytes it writes past a block. */
static const char *const HAS_LONG_JSON[] = {"encoder", "learners"};

static int has_long_json(const char *name) {
    for (size_t i = 0; i < sizeof HAS_LONG_JSON / sizeof *HAS_LONG_JSON; i++)
        if (strcmp(name, HAS_LONG_JSON[i]) == 0) return 1;
    return 0;
}

int main(int argc, char **argv) {
    enum { MOST_JOBS = 64, MOST_CRASHES = 10 };
    static sqlite3_mem_methods wrapper;
    Job *jobs = mmap(
        NULL, MOST_JOBS * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int n = 0, next = 0, running = 0, crashes = 0, all = argc > 1 && strcmp(argv[1], "--all") == 0;
    const char *part = argc > 1 + all ? argv[1 + all] : "";
    long long attempts = 0, passed = 0, failed = 0;

    setenv("REC_CACHE_MB", "0", 1);
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
    wrapper = real;
    wrapper.xMalloc = host_malloc;
    wrapper.xRealloc = host_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &wrapper) != SQLITE_OK ||
        sqlite3_initialize() != SQLITE_OK)
        return 2;
    json_set_alloc_funcs(json_malloc_or_fail, free);
    for (size_t s = 0; s < sizeof scenarios / sizeof *scenarios; s++)
        for (int kind = 0; kind < 2 * N_ALLOCATORS; kind++)
            if (strstr(scenarios[s].name, part) &&
                (kind / 2 != JSON || !has_long_json(scenarios[s].name)))
                jobs[n++] = (Job){.scenario = &scenarios[s],
                    .whose = kind / 2,
                    .sticky = kind % 2,
                    .stride = all ? 1 : STRIDE[kind % 2][kind / 2]};
    while (next < n || running) {
        int status;
        if (next < n && running < 2) {
            start_job(&jobs[next++]);
            running++;
            continue;
        }
        pid_t process = wait(&status);
        for (int j = 0; j < next; j++) {
            Job *job = &jobs[j];
            if (job->process != process) continue;
            running--;
            if (status == 0) continue;
            say_wrong(job, job->step ? job->scenario->step[job->step - 1].sql : "opening",
                "the process crashed");
            if (++crashes > MOST_CRASHES) {
                job->failed++;
                continue;
            }
            start_job(job);
            running++;
        }
    }
    for (int j = 0; j < n; j++) {
        attempts += jobs[j].attempts;
        passed += jobs[j].passed;
        failed += jobs[j].failed;
    }
    printf("%lld allocations failed, one at a time\n%lld passed, %lld failed\n", attempts, passed,
        failed);
    return failed != 0;
}
