/* rec_shadow(model, version_a, version_b [, options]): the lists of two versions beside each other,
 * a row a user: what a challenger would have shown, before anybody sees it.
 *
 * Rank-biased overlap (Webber, Moffat and Zobel 2010, extrapolated from depth k, equation 30): with
 * X_d the items that both have among their first d,
 *
 *     rbo = X_k / k p^k + (1 - p) / p sum over d = 1 .. k of X_d / d p^d
 *
 * Both versions are asked as anybody would ask them, by SQL, everybody in key order. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "../../base/memory.h"
#include "../../base/options.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../versions/version_find.h"

enum { MOST_K = 1000 };

typedef struct ShadowOptions {
    int64_t k;
    double p;
} ShadowOptions;

static const OptSpec shadow_options[] = {
    {"k", OPT_INT, offsetof(ShadowOptions, k), 1, MOST_K, 10, NULL, "length of the lists"},
    {"p", OPT_REAL, offsetof(ShadowOptions, p), .01, .999, .9, NULL,
        "of rbo: how likely who looks at a place looks at the next one, too"},
    {0},
};

/* One version's lists as they come: user, item, rank. */
typedef struct Side {
    sqlite3_stmt *rows;
    int has_row;
    sqlite3_value *item[MOST_K]; /* of the present user; owned */
    int n;
} Side;

typedef struct Comparing {
    Versioned versioned;
    ShadowOptions options;
    Side side[2];
    sqlite3_value *user; /* owned */
} Comparing;

static void side_empty(Side *side) {
    while (side->n) sqlite3_value_free(side->item[--side->n]);
}

static void comparing_end(void *state) {
    Comparing *comparing = state;
    for (int i = 0; i < 2; i++) {
        side_empty(&comparing->side[i]);
        sqlite3_finalize(comparing->side[i].rows);
    }
    sqlite3_value_free(comparing->user);
    version_found_clear(&comparing->versioned);
    mem_free(comparing);
}

static int is_same(sqlite3_value *a, sqlite3_value *b) {
    char buffer[2 * KEY_BUFFER];
    Key x, y;
    return value_key(a, AFFINITY_NONE, buffer, &x) &&
        value_key(b, AFFINITY_NONE, buffer + KEY_BUFFER, &y) && key_compare(x, y) == 0;
}

static Status side_step(Comparing *comparing, Side *side, Err *err) {
    return sql_step(comparing->versioned.db, side->rows, &side->has_row, err);
}

static Status side_open(Comparing *comparing, Side *side, const char *version, Err *err) {
    const Versioned *versioned = &comparing->versioned;
    json_t *options = json_pack("{s:s}", "at", version);
    char *text = options ? json_dumps(options, JSON_COMPACT) : NULL;
    json_decref(options);
    if (!text) return fail(err, ST_BADARG, "a version is a number or an alias");
    Status status = sql_prepare(versioned->db, &side->rows, err,
        "SELECT user, item FROM \"%w\".\"%w\" WHERE k=%lld AND options=%Q", versioned->schema,
        versioned->name, (sqlite3_int64)comparing->options.k, text);
    free(text);
    return status == ST_OK ? side_step(comparing, side, err) : status;
}

static Status comparing_begin(sqlite3 *db, sqlite3_value **argv, void **state, Err *err) {
    Comparing *comparing = mem_zeros(1, sizeof *comparing);
    OptTarget target = {shadow_options, &comparing->options};
    *state = comparing;
    if (!comparing) return fail_nomem(err, "two lists");
    TRY(value_options(&target, 1, argv[3], err));
    TRY(version_find(&comparing->versioned, db, value_text(argv[0]), err));
    for (int i = 0; i < 2; i++) {
        const char *version = value_text(argv[1 + i]);
        if (!version) return fail(err, ST_BADARG, "a version is NULL");
        TRY(side_open(comparing, &comparing->side[i], version, err));
    }
    return ST_OK;
}

/* Her items, up to the next user's. */
static Status take_list(Comparing *comparing, Side *side, Err *err) {
    side_empty(side);
    while (side->has_row && side->n < MOST_K &&
        is_same(sqlite3_column_value(side->rows, 0), comparing->user)) {
        side->item[side->n] = sqlite3_value_dup(sqlite3_column_value(side->rows, 1));
        if (!side->item[side->n]) return fail_nomem(err, "a list");
        side->n++;
        TRY(side_step(comparing, side, err));
    }
    return ST_OK;
}

/* Who comes next: the lesser key of the two sides. */
static Status next_user(Comparing *comparing, Err *err) {
    const Side *a = &comparing->side[0], *b = &comparing->side[1];
    const Side *first = a->has_row ? a : b;
    char buffer[2 * KEY_BUFFER];
    Key x, y;
    if (a->has_row && b->has_row &&
        value_key(sqlite3_column_value(a->rows, 0), AFFINITY_NONE, buffer, &x) &&
        value_key(sqlite3_column_value(b->rows, 0), AFFINITY_NONE, buffer + KEY_BUFFER, &y) &&
        key_compare(y, x) < 0)
        first = b;
    sqlite3_value_free(comparing->user);
    comparing->user = sqlite3_value_dup(sqlite3_column_value(first->rows, 0));
    return comparing->user ? ST_OK : fail_nomem(err, "a user");
}

static int has_item(const Side *side, int n, sqlite3_value *item) {
    for (int i = 0; i < n && i < side->n; i++)
        if (is_same(side->item[i], item)) return 1;
    return 0;
}

static void compare_row(const Comparing *comparing, RowSink *sink) {
    const Side *a = &comparing->side[0], *b = &comparing->side[1];
    /* two lists that end before k are looked at to their end */
    int k = (int)comparing->options.k, longest = a->n > b->n ? a->n : b->n, shared = 0;
    if (longest < k) k = longest;
    double p = comparing->options.p, weight = 1, sum = 0;
    for (int d = 1; d <= k; d++) {
        weight *= p;
        /* what came with place d: an item of one that the other has up to there */
        int both = d <= a->n && d <= b->n && is_same(a->item[d - 1], b->item[d - 1]);
        if (both) shared++;
        else {
            shared += d <= a->n && has_item(b, d, a->item[d - 1]);
            shared += d <= b->n && has_item(a, d, b->item[d - 1]);
        }
        sum += (double)shared / d * weight;
    }
    double all = a->n + b->n - shared;
    row_value(sink, comparing->user);
    row_integer(sink, shared);
    row_number(sink, all > 0 ? shared / all : NAN);
    row_number(sink, k ? (double)shared / k * weight + (1 - p) / p * sum : NAN);
    row_integer(sink, a->n && b->n && is_same(a->item[0], b->item[0]));
}

static Status comparing_more(void *state, RowSink *sink, int *ended, Err *err) {
    enum { AT_ONCE = 64 };
    Comparing *comparing = state;
    for (int i = 0; i < AT_ONCE; i++) {
        *ended = !comparing->side[0].has_row && !comparing->side[1].has_row;
        if (*ended) return ST_OK;
        TRY(next_user(comparing, err));
        for (int side = 0; side < 2; side++) TRY(take_list(comparing, &comparing->side[side], err));
        compare_row(comparing, sink);
    }
    return ST_OK;
}

int register_shadow(sqlite3 *db) {
    static const RowTable table = {.name = "rec_shadow",
        .columns = "user, shared INTEGER, jaccard REAL, rbo REAL, same_first INTEGER",
        .n_columns = 5,
        .arguments = ", model HIDDEN, version_a HIDDEN, version_b HIDDEN, options HIDDEN",
        .n_arguments = 4,
        .n_required = 3,
        .begin = comparing_begin,
        .more = comparing_more,
        .end = comparing_end};
    return row_table_register(db, &table);
}
