/* index_raw: the figures of `make bench-index` that are taken from C. Ours is asked through a
 * prepared statement, the linked FAISS through its C API. Ours is loaded (extension=) and brings a
 * FAISS of its own, so nothing that it sets there reaches the one that is linked here; the distance
 * kernels are the same. Contenders take turns, a round of all queries each, so that a busy machine
 * hits them alike. Arguments are key=value; the threads of FAISS come from OMP_NUM_THREADS.
 *
 *     index_raw build  factory= metric=l2|ip dim= rows=FILE index=OUT     train and add: "seconds
 *                      S"
 *     index_raw search dim= k= queries=FILE count= rounds= out=PREFIX [db= ...] [index=]
 *     [read=FILE] [set=ef:64 ...]
 *                      one query at a time: "WHO SETTING P50 P99" in microseconds. WHO is ours0,
 *                      ours1, ... for the
 *                      table t of each db=, raw for index=, read for one pass over the bytes of
 *                      read= in memory. The
 *                      ids go to PREFIX.WHO.SETTING: int64 from 1, 0 where there is none
 *     index_raw batch  dim= k= queries=FILE count= rounds= [db= sql=] [index=] [set=ef:64]
 *                      "ours|raw SECONDS" for all of them, the median of the rounds
 *     index_raw open   db= sql= [dim= queries=FILE]     from sqlite3_open to the last row, each
 *                      column copied; the first query is bound to ?1: "seconds S rows N bytes N" */
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_CONTENDERS = 8, MAX_ROUNDS = 101, MAX_K = 1000 };

static int n_arguments;
static char **arguments;

static void die(const char *what, const char *why) {
    fprintf(stderr, "index_raw: %s: %s\n", what, why);
    exit(1);
}

/* The value of the nth "key=value", or NULL. */
static const char *option_at(const char *key, int nth) {
    size_t len = strlen(key);
    for (int i = 0; i < n_arguments; i++)
        if (strncmp(arguments[i], key, len) == 0 && arguments[i][len] == '=' && nth-- == 0)
            return arguments[i] + len + 1;
    return NULL;
}

static const char *option(const char *key) { return option_at(key, 0); }

static const char *needed(const char *key) {
    if (!option(key)) die("missing argument", key);
    return option(key);
}

static int64_t number(const char *key) { return strtoll(needed(key), NULL, 10); }

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *memory(size_t bytes) {
    void *out = malloc(bytes);
    if (!out) die("out of memory", "");
    return out;
}

static void *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) die("cannot read", path);
    *bytes = (size_t)ftell(file);
    void *out = memory(*bytes);
    rewind(file);
    if (fread(out, 1, *bytes, file) != *bytes) die("cannot read", path);
    fclose(file);
    return out;
}

static void faiss_must(int code) {
    if (code) die("FAISS", faiss_get_last_error());
}

static void sqlite_must(int code, sqlite3 *db) {
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        die("SQLite", sqlite3_errmsg(db));
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *time, int64_t n, double q) {
    qsort(time, (size_t)n, sizeof *time, ascending);
    return time[(int64_t)((double)(n - 1) * q + 0.5)];
}

static sqlite3 *open_database(const char *path) {
    sqlite3 *db;
    char *error = NULL;
    sqlite_must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), db);
    sqlite3_enable_load_extension(db, 1);
    if (sqlite3_load_extension(db, needed("extension"), NULL, &error)) die("cannot load", error);
    return db;
}

/* What is asked. */
typedef struct Bench {
    int64_t dim, k, count, rounds;
    const float *query;
    int64_t *id; /* count x k: the answers of the last round */
    double *time;
} Bench;

/* Who answers: ours (db and statement), the linked FAISS (index), or a plain pass over memory
 * (word). */
typedef struct Contender Contender;
struct Contender {
    char name[16];
    void (*ask)(const Bench *b, const Contender *c, int64_t i);
    sqlite3 *db;
    sqlite3_stmt *statement;
    FaissIndex *index;
    const uint64_t *word;
    size_t n_words;
    double p50[MAX_ROUNDS], p99[MAX_ROUNDS];
};

/* "ef:64" to FAISS's name and to our JSON; without a colon both keep their defaults. */
static void apply(Contender *c, const char *setting) {
    char name[40], json[80];
    FaissParameterSpace *space;
    const char *colon = strchr(setting, ':');
    if (!colon) return;
    snprintf(name, sizeof name, "%.*s", (int)(colon - setting), setting);
    snprintf(json, sizeof json, "{\"%s\":%s}", name, colon + 1);
    if (c->statement)
        sqlite_must(sqlite3_bind_text(c->statement, 3, json, -1, SQLITE_TRANSIENT), c->db);
    if (!c->index) return;
    faiss_must(faiss_ParameterSpace_new(&space));
    faiss_must(faiss_ParameterSpace_set_index_parameter(
        space, c->index, strcmp(name, "ef") == 0 ? "efSearch" : name, strtod(colon + 1, NULL)));
    faiss_ParameterSpace_free(space);
}

static void ask_ours(const Bench *b, const Contender *c, int64_t i) {
    int code;
    int64_t n = 0;
    double sum = 0;
    sqlite3_bind_blob(
        c->statement, 1, b->query + i * b->dim, (int)b->dim * (int)sizeof(float), SQLITE_STATIC);
    while ((code = sqlite3_step(c->statement)) == SQLITE_ROW && n < b->k) {
        b->id[i * b->k + n++] = sqlite3_column_int64(c->statement, 0);
        sum += sqlite3_column_double(c->statement, 1);
    }
    sqlite_must(code, c->db);
    sqlite3_reset(c->statement);
    while (n < b->k) b->id[i * b->k + n++] = 0;
    if (sum != sum) die("a score", "is not a number");
}

static void ask_raw(const Bench *b, const Contender *c, int64_t i) {
    float distance[MAX_K];
    int64_t *label = b->id + i * b->k;
    faiss_must(faiss_Index_search(c->index, 1, b->query + i * b->dim, b->k, distance, label));
    for (int64_t j = 0; j < b->k; j++) label[j]++;
}

/* Integer sums: the compiler may not reorder float ones, and then the adds would be measured. */
static void ask_read(const Bench *b, const Contender *c, int64_t i) {
    uint64_t sum[8] = {0};
    for (size_t w = 0; w + 8 <= c->n_words; w += 8)
        for (size_t j = 0; j < 8; j++) sum[j] += c->word[w + j];
    b->id[i * b->k] = (int64_t)(sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^
        sum[7]);
}

static void save_ids(const Bench *b, const char *who, const char *setting) {
    char path[1000];
    snprintf(path, sizeof path, "%s.%s.%s", needed("out"), who, setting);
    FILE *file = fopen(path, "wb");
    size_t n = (size_t)(b->count * b->k);
    if (!file || fwrite(b->id, sizeof *b->id, n, file) != n || fclose(file))
        die("cannot write", path);
}

static void ask_all(const Bench *b, const Contender *c) {
    for (int64_t i = 0; i < b->count; i++) {
        double begin = seconds();
        c->ask(b, c, i);
        b->time[i] = seconds() - begin;
    }
}

/* Round 0 warms and is not counted. */
static void contest(const Bench *b, Contender *c, int n, const char *setting) {
    for (int64_t round = 0; round <= b->rounds; round++)
        for (int who = 0; who < n; who++) {
            ask_all(b, &c[who]);
            if (round == 0) continue;
            c[who].p50[round - 1] = quantile(b->time, b->count, 0.5);
            c[who].p99[round - 1] = quantile(b->time, b->count, 0.99);
            if (round == b->rounds && !c[who].word) save_ids(b, c[who].name, setting);
        }
    for (int who = 0; who < n; who++)
        printf("%s %s %.3f %.3f\n", c[who].name, setting,
            1e6 * quantile(c[who].p50, b->rounds, 0.5), 1e6 * quantile(c[who].p99, b->rounds, 0.5));
}

static void open_bench(Bench *b) {
    size_t bytes;
    *b = (Bench){.dim = number("dim"),
        .k = number("k"),
        .count = number("count"),
        .rounds = number("rounds")};
    if (b->k > MAX_K || b->rounds < 1 || b->rounds > MAX_ROUNDS || b->count < 1)
        die("k, rounds or count", "out of range");
    b->query = read_file(needed("queries"), &bytes);
    if (bytes < (size_t)(b->count * b->dim) * sizeof(float)) die("queries", "fewer than count");
    b->id = memory((size_t)(b->count * b->k) * sizeof *b->id);
    b->time = memory((size_t)b->count * sizeof *b->time);
}

static void open_ours(Contender *c, int nth, const char *path, const char *sql) {
    *c = (Contender){.ask = ask_ours, .db = open_database(path)};
    snprintf(c->name, sizeof c->name, "ours%d", nth);
    sqlite_must(sqlite3_prepare_v2(c->db, sql, -1, &c->statement, NULL), c->db);
}

static void open_raw(Contender *c) {
    *c = (Contender){.name = "raw", .ask = ask_raw};
    faiss_must(faiss_read_index_fname(option("index"), 0, &c->index));
}

static void search(void) {
    static Contender contender[MAX_CONTENDERS];
    Bench b;
    int n = 0;
    size_t bytes;
    open_bench(&b);
    const char *sql = option("set")
        ? "SELECT rowid, score FROM t WHERE e MATCH ?1 AND k = ?2 AND options = ?3"
        : "SELECT rowid, score FROM t WHERE e MATCH ?1 AND k = ?2";
    for (; option_at("db", n) && n < MAX_CONTENDERS - 2; n++) {
        open_ours(&contender[n], n, option_at("db", n), sql);
        sqlite3_bind_int64(contender[n].statement, 2, b.k);
    }
    if (option("index")) open_raw(&contender[n++]);
    if (option("read")) {
        contender[n] = (Contender){
            .name = "read", .ask = ask_read, .word = read_file(option("read"), &bytes)};
        contender[n++].n_words = bytes / sizeof(uint64_t);
    }
    if (!option("set")) contest(&b, contender, n, "-");
    for (int i = 0; option_at("set", i); i++) {
        for (int who = 0; who < n; who++) apply(&contender[who], option_at("set", i));
        contest(&b, contender, n, option_at("set", i));
    }
}

static double batch_ours(const Contender *c) {
    double begin = seconds();
    int code;
    while ((code = sqlite3_step(c->statement)) == SQLITE_ROW)
        if (sqlite3_column_type(c->statement, 0) == SQLITE_NULL) die("batch", "no score");
    sqlite_must(code, c->db);
    sqlite3_reset(c->statement);
    return seconds() - begin;
}

static double batch_raw(const Bench *b, const Contender *c, float *distance) {
    double begin = seconds();
    faiss_must(faiss_Index_search(c->index, b->count, b->query, b->k, distance, b->id));
    return seconds() - begin;
}

static void batch(void) {
    static Contender ours, raw;
    Bench b;
    open_bench(&b);
    float *distance = memory((size_t)(b.count * b.k) * sizeof *distance);
    if (option("db")) open_ours(&ours, 0, option("db"), needed("sql"));
    if (option("index")) open_raw(&raw);
    if (option("index") && option("set")) apply(&raw, option("set"));
    for (int64_t round = 0; round < b.rounds; round++) {
        if (option("db")) ours.p50[round] = batch_ours(&ours);
        if (option("index")) raw.p50[round] = batch_raw(&b, &raw, distance);
    }
    if (option("db")) printf("ours %.6f\n", quantile(ours.p50, b.rounds, 0.5));
    if (option("index")) printf("raw %.6f\n", quantile(raw.p50, b.rounds, 0.5));
}

static void build(void) {
    FaissIndex *index;
    size_t bytes;
    int64_t dim = number("dim");
    const float *rows = read_file(needed("rows"), &bytes);
    int64_t n = (int64_t)(bytes / sizeof(float)) / dim;
    double begin = seconds();
    faiss_must(faiss_index_factory(&index, (int)dim, needed("factory"),
        strcmp(needed("metric"), "l2") == 0 ? METRIC_L2 : METRIC_INNER_PRODUCT));
    if (!faiss_Index_is_trained(index)) faiss_must(faiss_Index_train(index, n, rows));
    faiss_must(faiss_Index_add(index, n, rows));
    printf("seconds %.3f\n", seconds() - begin);
    if (option("index")) faiss_must(faiss_write_index_fname(index, option("index")));
}

static void open_and_read(void) {
    static char copy[1 << 20];
    sqlite3_stmt *statement;
    size_t bytes = 0, query_bytes;
    int64_t rows = 0;
    int code;
    const float *query = option("queries") ? read_file(option("queries"), &query_bytes) : NULL;
    double begin = seconds();
    sqlite3 *db = open_database(needed("db"));
    sqlite_must(sqlite3_prepare_v2(db, needed("sql"), -1, &statement, NULL), db);
    if (query)
        sqlite_must(sqlite3_bind_blob(statement, 1, query,
                        (int)(number("dim") * (int64_t)sizeof *query), SQLITE_STATIC),
            db);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        for (int c = 0; c < sqlite3_column_count(statement); c++) {
            const void *blob = sqlite3_column_blob(statement, c);
            size_t len = (size_t)sqlite3_column_bytes(statement, c);
            if (blob && len <= sizeof copy) memcpy(copy, blob, len);
            bytes += len;
        }
        rows++;
    }
    sqlite_must(code, db);
    printf("seconds %.6f rows %lld bytes %zu\n", seconds() - begin, (long long)rows, bytes);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    n_arguments = argc - 2;
    arguments = argv + 2;
    if (strcmp(what, "build") == 0) build();
    else if (strcmp(what, "search") == 0) search();
    else if (strcmp(what, "batch") == 0) batch();
    else if (strcmp(what, "open") == 0) open_and_read();
    else
        return fprintf(stderr,
                   "usage: index_raw build|search|batch|open KEY=VALUE ... (see the top of "
                   "index_raw.c)\n"),
               2;
    return 0;
}
