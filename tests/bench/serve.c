/* serve: one user's top 10 through a prepared statement, warm. Prints p50 and p99 in microseconds.
 *
 *     serve [--threads N] DATABASE MODEL_TABLE
 *                                         over the users of its events, each thread with a
 *                                         connection; with one adds a brute-force check for ials
 *     serve --make DATABASE ITEMS USERS   writes a made shop with a long-tailed catalogue and
 *                                         trains ials on it
 *
 * The made shop: items fall into 200 tastes, popularity within a taste follows 1 / (rank + 3); a
 * user draws 5 to 60 purchases, 80 % from two tastes of hers. */
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "../../ext/models/model.h"

int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api);

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

static void must(int code, sqlite3 *db) {
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
    fprintf(stderr, "serve: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static sqlite3 *open_database(const char *path) {
    sqlite3 *db;
    sqlite3_auto_extension((void (*)(void))sqlite3_recommend_init);
    must(sqlite3_open(path, &db), db);
    return db;
}

static void run(sqlite3 *db, const char *sql) { must(sqlite3_exec(db, sql, NULL, NULL, NULL), db); }

enum { TASTES = 200 };

static sqlite3_int64 draw_item(Random *random, int taste, sqlite3_int64 items) {
    sqlite3_int64 per_taste = items / TASTES;
    /* inverse of the cumulative of 1 / (rank + 3) */
    double rank = 3 * pow((double)(per_taste + 3) / 3, random_uniform(random)) - 3;
    return (sqlite3_int64)rank % per_taste * TASTES + taste;
}

static void make(const char *path, sqlite3_int64 items, sqlite3_int64 users) {
    remove(path);
    sqlite3 *db = open_database(path);
    sqlite3_stmt *insert;
    Random random;
    run(db, "PRAGMA journal_mode=OFF; CREATE TABLE events(user INTEGER, item INTEGER); BEGIN");
    must(sqlite3_prepare_v2(db, "INSERT INTO events VALUES(?1, ?2)", -1, &insert, NULL), db);
    for (sqlite3_int64 u = 1; u <= users; u++) {
        random_init(&random, 77, (uint64_t)u);
        int taste[2] = {(int)random_below(&random, TASTES), (int)random_below(&random, TASTES)};
        int n = 5 + (int)random_below(&random, 56);
        for (int i = 0; i < n; i++) {
            int t = random_uniform(&random) < 0.8 ? taste[random_below(&random, 2)]
                                                  : (int)random_below(&random, TASTES);
            sqlite3_bind_int64(insert, 1, u);
            sqlite3_bind_int64(insert, 2, draw_item(&random, t, items));
            must(sqlite3_step(insert), db);
            sqlite3_reset(insert);
        }
    }
    sqlite3_finalize(insert);
    for (sqlite3_int64 i = 0; i < items; i++) { /* every product is sold at least once */
        char sql[100];
        snprintf(sql, sizeof sql, "INSERT INTO events VALUES(%lld, %lld)",
            (long long)(i % users + 1), (long long)i);
        run(db, sql);
    }
    run(db,
        "COMMIT; CREATE INDEX by_user ON events(user, item); PRAGMA journal_mode=WAL;"
        "CREATE VIRTUAL TABLE recs USING rec_model(events=events, user=user, item=item, "
        "algorithm=ials, factors=64, sweeps=4);"
        "INSERT INTO recs(recs, arg) VALUES('train', '{\"progress\":\"stderr\"}')");
    sqlite3_close(db);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The stored model, read from its chunks. */
static Model *read_model(sqlite3 *db, const char *table) {
    char sql[300];
    sqlite3_stmt *chunks;
    Bytes blob = {0};
    Model *model = NULL;
    Err err = {0};
    snprintf(sql, sizeof sql,
        "SELECT data FROM %s_chunks WHERE version=(SELECT version FROM %s_deployments ORDER BY id "
        "DESC LIMIT 1) ORDER BY chunk",
        table, table);
    must(sqlite3_prepare_v2(db, sql, -1, &chunks, NULL), db);
    while (sqlite3_step(chunks) == SQLITE_ROW)
        bytes_append(
            &blob, sqlite3_column_blob(chunks, 0), (size_t)sqlite3_column_bytes(chunks, 0));
    sqlite3_finalize(chunks);
    if (model_read(&model, blob.data, blob.len, &err) != ST_OK)
        fprintf(stderr, "serve: %s\n", err.text);
    bytes_clear(&blob);
    return model;
}

/* How many of n_users' top 10 differ from scoring every item in float64 and sorting. */
static int check(const Model *model, int n_users) {
    int wrong = 0;
    ModelQuery *query;
    Scored *all = mem_array((size_t)model->n_items, sizeof *all);
    Random random;
    model_query_new(&query, model, NULL);
    for (int u = 0; u < n_users; u++) {
        int32_t item[12];
        float weight[12];
        History history = {item, weight, 0};
        Ranked top[10];
        size_t n;
        random_init(&random, 5, (uint64_t)u);
        int32_t at = 0;
        for (int i = 0; i < 12; i++) {
            at += 1 + (int32_t)random_below(&random, (uint64_t)(model->n_items / 16));
            item[history.n] = at;
            weight[history.n++] = 1;
        }
        model_query_history(query, &history, NULL);
        model_query_rank(query, NULL, 0, 10, top, &n, NULL);
        for (int32_t i = 0; i < model->n_items; i++)
            all[i] = (Scored){model->algorithm->score(query, i), i};
        scored_sort(all, (size_t)model->n_items);
        for (size_t i = 0; i < n; i++)
            if (top[i].item != all[i].id) {
                wrong++;
                break;
            }
    }
    mem_free(all);
    model_query_free(query);
    return wrong;
}

enum { MOST_USERS = 20000, MOST_THREADS = 16 };

/* The sample and the made shop name their user column differently. */
static int read_users(sqlite3 *db, sqlite3_int64 *user) {
    sqlite3_stmt *users;
    int n = 0;
    if (sqlite3_prepare_v2(
            db, "SELECT DISTINCT user FROM events ORDER BY 1 LIMIT 20000", -1, &users, NULL))
        must(sqlite3_prepare_v2(db,
                 "SELECT DISTINCT customer_id FROM events WHERE customer_id IS NOT NULL ORDER BY 1 "
                 "LIMIT 20000",
                 -1, &users, NULL),
            db);
    while (sqlite3_step(users) == SQLITE_ROW) user[n++] = sqlite3_column_int64(users, 0);
    sqlite3_finalize(users);
    return n;
}

/* A connection that asks for everybody's list, twice: the first time warms. */
typedef struct Asker {
    const char *path, *table;
    int n;
    double time[MOST_USERS]; /* of the second */
} Asker;

static void *ask(void *context) {
    Asker *asker = context;
    static _Thread_local sqlite3_int64 user[MOST_USERS];
    sqlite3 *db = open_database(asker->path);
    sqlite3_stmt *query;
    char sql[300];
    asker->n = read_users(db, user);
    snprintf(
        sql, sizeof sql, "SELECT item, score FROM %s WHERE user = ?1 AND k = 10", asker->table);
    must(sqlite3_prepare_v2(db, sql, -1, &query, NULL), db);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < asker->n; i++) {
            double begin = microseconds();
            sqlite3_bind_int64(query, 1, user[i]);
            int rows = 0, code;
            while ((code = sqlite3_step(query)) == SQLITE_ROW)
                rows += sqlite3_column_bytes(query, 0) > 0;
            must(code, db);
            sqlite3_reset(query);
            asker->time[i] = microseconds() - begin;
            if (rows != 10)
                fprintf(stderr, "serve: user %lld got %d rows\n", (long long)user[i], rows);
        }
    sqlite3_finalize(query);
    sqlite3_close(db);
    return NULL;
}

static void serve(const char *path, const char *table, int threads) {
    static Asker asker[MOST_THREADS];
    static double time[MOST_THREADS * MOST_USERS];
    pthread_t thread[MOST_THREADS];
    int n = 0;
    for (int i = 0; i < threads; i++) {
        asker[i].path = path;
        asker[i].table = table;
        pthread_create(&thread[i], NULL, ask, &asker[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        memcpy(time + n, asker[i].time, (size_t)asker[i].n * sizeof *time);
        n += asker[i].n;
    }
    qsort(time, (size_t)n, sizeof *time, ascending);
    printf("%d users: p50 %.1f us, p99 %.1f us", n, time[n / 2], time[n * 99 / 100]);
    sqlite3 *db = open_database(path);
    Model *model = threads == 1 ? read_model(db, table) : NULL;
    if (model)
        printf(", %d items, top 10 of 200 baskets unlike brute force: %d", model->n_items,
            check(model, 200));
    printf("\n");
    model_free(model);
    sqlite3_close(db);
}

int main(int argc, char **argv) {
    int threads = argc == 5 && strcmp(argv[1], "--threads") == 0 ? atoi(argv[2]) : 0;
    if (argc == 5 && strcmp(argv[1], "--make") == 0) make(argv[2], atoll(argv[3]), atoll(argv[4]));
    else if (threads >= 1 && threads <= MOST_THREADS) serve(argv[3], argv[4], threads);
    else if (argc == 3) serve(argv[1], argv[2], 1);
    else
        return fprintf(stderr,
                   "usage: serve [--threads N] DATABASE TABLE | serve --make DATABASE ITEMS "
                   "USERS\n"),
               2;
    return 0;
}
