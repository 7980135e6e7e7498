/* rec_position_bias(model [, options]): what a place alone does to clicks, from lists whose first
 * place was swapped with one of n (the option swap); rec_ctr(model [, options]): clicks a row
 * shown, as they are and as they would be at the first place.
 *
 * A list with swap=n gives its first item A and the one of place r, B, to places 1 and r by turns,
 * with the propensities 1/n, and (n - 1)/n for B at its own place. Weighted by their inverse, the
 * clicks of the two at place r over those at place 1 estimate how much rarer place r is looked at
 * (Joachims, Swaminathan and Schnabel 2017; Agarwal, Zaitsev, Wang, Li, Najork and Joachims 2019).
 * Lists of an experiment are left out: two arms of equal shares have the propensities of a swap of
 * two. Users are the observations of the interval; that of rec_ctr takes the examinations as
 * known. */
#include <math.h>
#include <string.h>

#include "../../metrics/experiment.h"
#include "../../metrics/special.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../versions/version_find.h"
#include "log_scope.h"

enum { MOST_SWAPPED = 100 };

/* Sums of one place r, and of the clicks at place 1 that belong to it. */
typedef struct Bias {
    int n; /* places that swaps reach */
    double lists[MOST_SWAPPED], clicks[MOST_SWAPPED];
    ArmSums ratio[MOST_SWAPPED];                       /* over users: y at r, x at 1 */
    double user_y[MOST_SWAPPED], user_x[MOST_SWAPPED]; /* of the user that is being read */
} Bias;

static void end_user(Bias *bias) {
    for (int r = 0; r < MOST_SWAPPED; r++) {
        if (r < bias->n) arm_add(&bias->ratio[r], bias->user_y[r], bias->user_x[r]);
        bias->user_y[r] = bias->user_x[r] = 0;
    }
}

/* The rows of a list by place. */
typedef struct SwapList {
    int n; /* rows */
    double propensity[MOST_SWAPPED];
    int clicked[MOST_SWAPPED];
} SwapList;

static int is_near(double a, double b) { return fabs(a - b) < 1e-6; }

/* The n of its swap, and the place that its first item went to (0: it stayed; with n = 2 nobody can
 * tell, nor has to). 0: it is no such list. */
static int swap_of(const SwapList *list, int *place) {
    double p = list->n ? list->propensity[0] : 0;
    int n = p > 0 ? (int)lround(1 / p) : 0, swapped = 0;
    *place = 0;
    if (n < 2 || n > list->n || !is_near(p, 1. / n)) return 0;
    for (int r = 1; r < n; r++) {
        if (n > 2 && is_near(list->propensity[r], 1. / n)) *place = r, swapped++;
        else if (!is_near(list->propensity[r], (n - 1.) / n)) return 0;
    }
    return swapped <= 1 ? n : 0;
}

static void add_list(Bias *bias, const SwapList *list) {
    int place, n = swap_of(list, &place);
    if (n > bias->n) bias->n = n;
    for (int r = 0; r < n; r++) {
        bias->lists[r]++;
        bias->clicks[r] += list->clicked[r];
        bias->user_y[r] += list->clicked[r] / list->propensity[r];
        if (n == 2 || place == 0 || place == r)
            bias->user_x[r] += list->clicked[0] / list->propensity[0];
    }
}

/* user, list, rank, propensity, clicked */
static Status prepare_rows(
    const Versioned *versioned, const LogScope *scope, sqlite3_stmt **out, Err *err) {
    TRY(sql_prepare(versioned->db, out, err,
        "WITH " LOG_CREDITS " SELECT coalesce(l.user, 'list-' || l.id) AS who, l.id, s.rank, "
        "s.propensity, c.list IS NOT NULL FROM \"%w\".\"%w_lists\" l JOIN \"%w\".\"%w_shown\" s ON "
        "s.list=l.id LEFT JOIN c ON c.list=l.id AND c.item=s.item WHERE typeof(s.rank)='integer' "
        "AND s.rank BETWEEN 1 AND %d AND l.arm IS NULL "
        "AND " LOG_SCOPE_LISTS " ORDER BY who, l.id, s.rank",
        versioned->schema, versioned->name, versioned->schema, versioned->name, versioned->schema,
        versioned->name, MOST_SWAPPED));
    log_scope_bind(*out, scope);
    return ST_OK;
}

/* Is the user of this row another one than *last, which becomes hers? */
static Status is_other_user(sqlite3_stmt *row, sqlite3_value **last, int *out, Err *err) {
    sqlite3_value *user = sqlite3_column_value(row, 0);
    char buffer[2 * KEY_BUFFER];
    Key now, before;
    *out = !*last || !value_key(user, AFFINITY_NONE, buffer, &now) ||
        !value_key(*last, AFFINITY_NONE, buffer + KEY_BUFFER, &before) ||
        key_compare(now, before) != 0;
    if (!*out) return ST_OK;
    sqlite3_value_free(*last);
    *last = sqlite3_value_dup(user);
    return *last ? ST_OK : fail_nomem(err, "a user");
}

static Status read_bias(const Versioned *versioned, const LogScope *scope, Bias *out, Err *err) {
    sqlite3_stmt *rows;
    sqlite3_value *user = NULL;
    sqlite3_int64 id = 0;
    SwapList list = {0};
    int found;
    memset(out, 0, sizeof *out);
    TRY(log_is_there(versioned, &found, err));
    if (!found) return ST_OK;
    TRY(prepare_rows(versioned, scope, &rows, err));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        int other, rank = sqlite3_column_int(rows, 2);
        status = is_other_user(rows, &user, &other, err);
        if (sqlite3_column_int64(rows, 1) != id) {
            add_list(out, &list);
            list.n = 0;
            id = sqlite3_column_int64(rows, 1);
        }
        if (other) end_user(out);
        if (rank != list.n + 1 || list.n == MOST_SWAPPED)
            continue; /* a gap: what is behind it is left out */
        list.propensity[list.n] = sqlite3_column_double(rows, 3);
        list.clicked[list.n++] = sqlite3_column_int(rows, 4);
    }
    add_list(out, &list);
    end_user(out);
    sqlite3_value_free(user);
    sqlite3_finalize(rows);
    return status;
}

/* The examination of a place, 1 at the first. */
static Estimate examination(const Bias *bias, int place) {
    return place ? estimate_ratio(&bias->ratio[place]) : (Estimate){1, 0, bias->ratio[0].n};
}

/* ---- rec_position_bias ---- */

static Status bias_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    static const double WIDTH = 1.959963984540054; /* 95 % */
    Versioned versioned;
    LogScope scope;
    Bias bias;
    TRY(log_scope_read(&scope, argv[1], NULL, err));
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    Status status = read_bias(&versioned, &scope, &bias, err);
    for (int r = 0; status == ST_OK && r < bias.n; r++) {
        Estimate e = examination(&bias, r);
        row_integer(sink, r + 1);
        row_integer(sink, (sqlite3_int64)bias.lists[r]);
        row_integer(sink, (sqlite3_int64)bias.clicks[r]);
        row_real(sink, bias.clicks[r] / bias.lists[r]);
        row_number(sink, e.value);
        row_number(sink, e.value - WIDTH * sqrt(e.variance));
        row_number(sink, e.value + WIDTH * sqrt(e.variance));
    }
    version_found_clear(&versioned);
    return status;
}

/* ---- rec_ctr ---- */

typedef struct CtrOptions {
    LogScope scope;
    int64_t by;
} CtrOptions;

static const OptSpec ctr_options[] = {
    {"by", OPT_CHOICE, offsetof(CtrOptions, by), 0, 0, 0, "item|version|arm|scenario|team|rank",
        "what a row is about"},
    {0},
};
static const char *const by_column[] = {
    "s.item", "coalesce(s.version, l.version)", "l.arm", "l.scenario", "s.team", "s.rank"};

/* key, rows, clicks; then over the users of the places that swaps have measured: n, sums of clicks
 * y, y^2, of examinations x, x^2, xy. ?5: the examinations, a JSON array. */
static Status prepare_ctr(const Versioned *versioned, const CtrOptions *options,
    const char *examinations, sqlite3_stmt **out, Err *err) {
    TRY(sql_prepare(versioned->db, out, err,
        "WITH " LOG_CREDITS ", u AS (SELECT %s AS key, coalesce(l.user, 'list-' || l.id) AS who, "
        "count(*) AS rows, count(c.list) AS clicks, total(e.value IS NOT NULL AND c.list IS NOT "
        "NULL) AS y, total(e.value) AS x FROM \"%w\".\"%w_lists\" l JOIN \"%w\".\"%w_shown\" s ON "
        "s.list=l.id LEFT JOIN c ON c.list=l.id AND c.item=s.item LEFT JOIN json_each(?5) e ON "
        "e.key=s.rank-1 WHERE " LOG_SCOPE_LISTS " GROUP BY 1, 2) SELECT key, sum(rows), "
        "sum(clicks), count(*), total(y), total(y*y), total(x), total(x*x), total(x*y) FROM u "
        "GROUP BY key",
        versioned->schema, versioned->name, by_column[options->by], versioned->schema,
        versioned->name, versioned->schema, versioned->name));
    log_scope_bind(*out, &options->scope);
    sqlite3_bind_text(*out, 5, examinations, -1, SQLITE_TRANSIENT);
    return ST_OK;
}

static void ctr_row(RowSink *sink, sqlite3_stmt *row) {
    static const double WIDTH = 1.959963984540054; /* 95 % */
    double number[9];
    for (int i = 0; i < 9; i++) number[i] = sqlite3_column_double(row, i);
    ArmSums sums = {number[3], number[4], number[5], number[6], number[7], number[8]};
    Estimate corrected = estimate_ratio(&sums);
    double half = WIDTH * sqrt(corrected.variance);
    row_column(sink, row, 0);
    row_integer(sink, sqlite3_column_int64(row, 1));
    row_integer(sink, sqlite3_column_int64(row, 2));
    row_number(sink, number[2] / number[1]);
    row_number(sink, corrected.value);
    row_number(sink, corrected.value - half);
    row_number(sink, corrected.value + half);
}

static Status ctr_rows(const Versioned *versioned, const CtrOptions *options, const Bias *bias,
    RowSink *sink, Err *err) {
    Bytes examinations = {0};
    sqlite3_stmt *rows;
    bytes_append(&examinations, "[", 1);
    for (int r = 0; r < bias->n; r++) {
        double value = examination(bias, r).value;
        bytes_format(&examinations, r ? "," : "");
        if (value > 0 && isfinite(value)) bytes_format(&examinations, "%.17g", value);
        else bytes_format(&examinations, "null");
    }
    bytes_append(&examinations, "]", 2);
    Status status = examinations.failed
        ? fail_nomem(err, "the places")
        : prepare_ctr(versioned, options, (const char *)examinations.data, &rows, err);
    bytes_clear(&examinations);
    if (status != ST_OK) return status;
    while (sql_next(versioned->db, rows, &status, err)) ctr_row(sink, rows);
    sqlite3_finalize(rows);
    return status;
}

static Status ctr_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    CtrOptions options;
    Bias bias;
    OptTarget own = {ctr_options, &options};
    TRY(log_scope_read(&options.scope, argv[1], &own, err));
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    int found;
    Status status = log_is_there(&versioned, &found, err);
    if (status == ST_OK) status = read_bias(&versioned, &options.scope, &bias, err);
    if (status == ST_OK && found) status = ctr_rows(&versioned, &options, &bias, sink, err);
    version_found_clear(&versioned);
    return status;
}

int register_clicks(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_position_bias",
            .columns = "rank INTEGER, lists INTEGER, clicks INTEGER, ctr REAL, examination REAL, "
                       "low REAL, high REAL",
            .n_columns = 7,
            .arguments = ", model HIDDEN, options HIDDEN",
            .n_arguments = 2,
            .n_required = 1,
            .fill = bias_fill},
        {.name = "rec_ctr",
            .columns = "key, shown INTEGER, clicks INTEGER, ctr REAL, corrected REAL, low REAL, "
                       "high REAL",
            .n_columns = 7,
            .arguments = ", model HIDDEN, options HIDDEN",
            .n_arguments = 2,
            .n_required = 1,
            .fill = ctr_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
