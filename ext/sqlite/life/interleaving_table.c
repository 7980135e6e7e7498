/* rec_interleaving(model [, scenario [, options]]): whose rows are clicked in lists that were drawn
 * from two versions.
 *
 * A list goes to the team with more credited rows; a user to the team with more of her lists; ties
 * stay apart (Chapelle, Joachims, Radlinski and Yue 2012: preference = (wins of b + ties / 2) / n -
 * 1/2). p is the sign test over users; low and high are the percentile bootstrap over users of the
 * preference. */
#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../metrics/bootstrap.h"
#include "../../metrics/experiment.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../versions/version_find.h"
#include "log_scope.h"

typedef struct InterleavingOptions {
    LogScope scope;
    int64_t samples, seed;
} InterleavingOptions;

static const OptSpec interleaving_options[] = {
    {"samples", OPT_INT, offsetof(InterleavingOptions, samples), 100, 100000, 1000, NULL,
        "resamples of the users"},
    {"seed", OPT_INT, offsetof(InterleavingOptions, seed), 0, 1e15, 1, NULL, "of the resamples"},
    {0},
};

typedef struct Tally {
    int64_t lists[3], users[3], rows[2]; /* won by a, by b, tied; rows credited */
    sqlite3_int64 version[2];
    double *preference; /* of each user: 0, 1/2 or 1 for b */
    int64_t n, capacity;
} Tally;

static Status add_user(Tally *tally, int64_t lists_a, int64_t lists_b, Err *err) {
    int who = lists_a > lists_b ? 0 : lists_b > lists_a ? 1 : 2;
    if (tally->n == tally->capacity) {
        int64_t capacity = tally->capacity * 2 + 64;
        double *grown = mem_resize(tally->preference, (size_t)capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the users");
        tally->preference = grown;
        tally->capacity = capacity;
    }
    tally->users[who]++;
    tally->preference[tally->n++] = who == 2 ? .5 : who;
    return ST_OK;
}

/* One row a user: lists won by a, by b, tied, rows credited to a, to b, the teams' versions. A row
 * is credited by an outcome that names the list and the item. */
static Status prepare(
    const Versioned *versioned, const LogScope *scope, sqlite3_stmt **out, Err *err) {
    TRY(sql_prepare(versioned->db, out, err,
        "WITH " LOG_CREDITS ", l AS (SELECT coalesce(l.user, 'list-' || l.id) AS user, "
        "sum(s.team='a' AND c.list IS NOT NULL) AS a, sum(s.team='b' AND c.list IS NOT NULL) AS b, "
        "max(CASE s.team WHEN 'a' THEN s.version END) AS va, max(CASE s.team WHEN 'b' THEN "
        "s.version END) AS vb FROM \"%w\".\"%w_lists\" l JOIN \"%w\".\"%w_shown\" s ON s.list=l.id "
        "LEFT JOIN c ON c.list=l.id AND c.item=s.item WHERE s.team IS NOT NULL AND " LOG_SCOPE_LISTS
        " GROUP BY l.id) SELECT sum(a>b), sum(b>a), "
        "sum(a=b), sum(a), sum(b), max(va), max(vb) FROM l GROUP BY user",
        versioned->schema, versioned->name, versioned->schema, versioned->name, versioned->schema,
        versioned->name));
    log_scope_bind(*out, scope);
    return ST_OK;
}

static Status count(const Versioned *versioned, const LogScope *scope, Tally *tally, Err *err) {
    sqlite3_stmt *rows;
    int found;
    TRY(log_is_there(versioned, &found, err));
    if (!found) return ST_OK;
    TRY(prepare(versioned, scope, &rows, err));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        for (int i = 0; i < 3; i++) tally->lists[i] += sqlite3_column_int64(rows, i);
        for (int team = 0; team < 2; team++) {
            tally->rows[team] += sqlite3_column_int64(rows, 3 + team);
            if (sqlite3_column_int64(rows, 5 + team))
                tally->version[team] = sqlite3_column_int64(rows, 5 + team);
        }
        status = add_user(tally, sqlite3_column_int64(rows, 0), sqlite3_column_int64(rows, 1), err);
    }
    sqlite3_finalize(rows);
    return status;
}

static Status rows_of(
    const Tally *tally, const InterleavingOptions *options, RowSink *sink, Err *err) {
    Interval interval = {NAN, NAN, NAN};
    if (!tally->n) return ST_OK;
    double p = sign_test(tally->users[1], tally->users[0] + tally->users[1]);
    TRY(bootstrap_means(&interval, tally->preference, tally->n, 1, options->samples,
        (uint64_t)options->seed, NULL, err));
    for (int team = 0; team < 2; team++) {
        double sign = team ? 1 : -1;
        row_text(sink, team ? "b" : "a");
        if (tally->version[team]) row_integer(sink, tally->version[team]);
        else row_null(sink);
        row_integer(sink, tally->lists[0] + tally->lists[1] + tally->lists[2]);
        row_integer(sink, tally->rows[team]);
        row_integer(sink, tally->lists[team]);
        row_integer(sink, tally->n);
        row_integer(sink, tally->users[team]);
        row_integer(sink, tally->users[2]);
        row_real(sink, sign * (interval.mean - .5));
        row_real(sink, sign * ((team ? interval.low : interval.high) - .5));
        row_real(sink, sign * ((team ? interval.high : interval.low) - .5));
        row_real(sink, p);
    }
    return ST_OK;
}

static Status interleaving_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    InterleavingOptions options;
    OptTarget own = {interleaving_options, &options};
    const char *scenario = argv[1] ? value_text(argv[1]) : NULL;
    Tally tally = {0};
    TRY(log_scope_read(&options.scope, argv[2], &own, err));
    if (scenario && strlen(scenario) >= sizeof options.scope.scenario)
        return fail(err, ST_BADARG, "no scenario is that long");
    if (scenario) memcpy(options.scope.scenario, scenario, strlen(scenario) + 1);
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    Status status = count(&versioned, &options.scope, &tally, err);
    if (status == ST_OK) status = rows_of(&tally, &options, sink, err);
    mem_free(tally.preference);
    version_found_clear(&versioned);
    return status;
}

int register_interleaving(sqlite3 *db) {
    static const RowTable table = {.name = "rec_interleaving",
        .columns =
            "team TEXT, version INTEGER, lists INTEGER, credited INTEGER, lists_won INTEGER, "
            "users INTEGER, users_won INTEGER, users_tied INTEGER, preference REAL, low REAL, "
            "high REAL, p REAL",
        .n_columns = 12,
        .arguments = ", model HIDDEN, scenario HIDDEN, options HIDDEN",
        .n_arguments = 3,
        .n_required = 1,
        .fill = interleaving_fill};
    return row_table_register(db, &table);
}
