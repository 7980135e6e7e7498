/* rec_explain(model, user, item [, options]): what each item of her history adds to the score of an
 * item; rec_reason(...): the same as a sentence.
 *
 * Where the algorithm says how its score is a sum over the history, these are its terms (`exact`).
 * Else a surrogate: what the score loses when the item is taken out of the history
 * (`leave-one-out`: a deletion diagnostic, Cook 1977). What the terms leave of the score is a row
 * of its own, without an item, so that rows always sum to the score. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/memory.h"
#include "../host/cache.h"
#include "../host/guard.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "model_events.h"
#include "model_version.h"

typedef struct ExplainOptions {
    int64_t version, items;
    char text[256], and[32];
} ExplainOptions;

static const OptSpec explain_options[] = {
    {"version", OPT_INT, offsetof(ExplainOptions, version), 0, 1e12, 0, NULL,
        "which one; 0: the active one"},
    {"items", OPT_INT, offsetof(ExplainOptions, items), 1, 20, 2, NULL,
        "rec_reason: at most so many items are named"},
    {"text", OPT_TEXT, offsetof(ExplainOptions, text), 0, 256, 0, "because you chose {items}",
        "rec_reason: the sentence; {items} is where they stand"},
    {"and", OPT_TEXT, offsetof(ExplainOptions, and), 0, 32, 0, " and ",
        "rec_reason: what stands before the last of them"},
    {0},
};

/* A score and its terms. */
typedef struct Explained {
    ModelDefinition definition;
    EventsReader reader;
    Model *model;
    ModelQuery *query;
    OwnedHistory history;
    double score, rest;
    double *part; /* per item of the history */
    int is_exact;
    Scored *order; /* places of the history, the largest |part| first */
    int32_t item;  /* that is explained */
} Explained;

static void explained_clear(Explained *explained) {
    if (explained->query) explained->query->history = (History){0};
    model_query_free(explained->query);
    cache_release(explained->model);
    owned_history_clear(&explained->history);
    mem_free(explained->part);
    mem_free(explained->order);
    events_reader_clear(&explained->reader);
    definition_clear(&explained->definition);
}

/* The algorithm's own word, which may be negative; of who has no history the popular list's. */
static double score_of(const ModelQuery *query, int32_t item) {
    return model_query_speaks(query) ? algorithm_score(query, item)
                                     : model_query_score(query, item);
}

/* The score of the item for the history without its place `left_out` (-1: all of it). copy, visit:
 * room for the history. */
static Status score_without(Explained *explained, int32_t item, int64_t left_out, History *copy,
    Visit *visit, double *out, Err *err) {
    const History *history = &explained->history.history;
    int64_t n = 0;
    copy->n_visits = 0;
    copy->visit = history->visit ? visit : NULL;
    for (int64_t i = 0; i < history->n_visits; i++)
        if (left_out < 0 || history->visit[i].item != history->item[left_out])
            visit[copy->n_visits++] = history->visit[i];
    for (int64_t i = 0; i < history->n; i++) {
        if (i == left_out) continue;
        copy->item[n] = history->item[i];
        copy->weight[n] = history->weight[i];
        copy->time[n++] = history->time[i];
    }
    copy->n = n;
    TRY(model_query_history(explained->query, copy, err));
    *out = score_of(explained->query, item);
    return ST_OK;
}

static Status leave_each_out(Explained *explained, int32_t item, Err *err) {
    size_t n = (size_t)explained->history.history.n;
    History copy = {.item = mem_array(n, sizeof *copy.item),
        .weight = mem_array(n, sizeof *copy.weight),
        .time = mem_array(n, sizeof *copy.time)};
    Visit *visit = mem_array((size_t)explained->history.history.n_visits, sizeof *visit);
    Status status = copy.item && copy.weight && copy.time && visit ? ST_OK
                                                                   : fail_nomem(err, "the history");
    for (size_t i = 0; i < n && status == ST_OK; i++) {
        double without = 0;
        status = score_without(explained, item, (int64_t)i, &copy, visit, &without, err);
        explained->part[i] = explained->score - without;
    }
    explained->query->history = (History){0};
    mem_free(copy.item);
    mem_free(copy.weight);
    mem_free(copy.time);
    mem_free(visit);
    return status;
}

/* The terms, and what they leave. A score of 0 (nothing good to say) has no terms. */
static Status take_terms(Explained *explained, int32_t item, Err *err) {
    const History *history = &explained->history.history;
    const Algorithm *algorithm = explained->model->algorithm;
    explained->part = mem_zeros((size_t)history->n, sizeof *explained->part);
    if (!explained->part) return fail_nomem(err, "the terms");
    TRY(model_query_history(explained->query, history, err));
    explained->score = score_of(explained->query, item);
    if (!model_query_speaks(explained->query) || algorithm->impersonal) {
        explained->is_exact = 1;
    } else {
        if (algorithm->contributions)
            TRY(algorithm->contributions(explained->query, item, explained->part, err));
        double sum = 0, size = fabs(explained->score);
        for (int64_t i = 0; i < history->n; i++) {
            sum += explained->part[i];
            size = fmax(size, fabs(explained->part[i]));
        }
        /* a part of a blend may have no terms, and says so by what is missing */
        explained->is_exact = algorithm->contributions &&
            fabs(sum - explained->score) <= 1e-4 * size;
        if (!explained->is_exact) TRY(leave_each_out(explained, item, err));
    }
    explained->rest = explained->score;
    for (int64_t i = 0; i < history->n; i++) explained->rest -= explained->part[i];
    return ST_OK;
}

static Status sort_terms(Explained *explained, Err *err) {
    int64_t n = explained->history.history.n;
    explained->order = mem_array((size_t)n, sizeof *explained->order);
    if (!explained->order) return fail_nomem(err, "the terms");
    for (int64_t i = 0; i < n; i++) explained->order[i] = (Scored){fabs(explained->part[i]), i};
    if (n) scored_sort(explained->order, (size_t)n);
    return ST_OK;
}

static Status explain(Explained *explained, sqlite3 *db, sqlite3_value **argv,
    const ExplainOptions *options, Err *err) {
    ModelDefinition *definition = &explained->definition;
    char buffer[KEY_BUFFER];
    Key key;
    TRY(definition_find(definition, db, value_text(argv[0]), err));
    explained->reader.definition = definition;
    TRY(model_of_version(definition, options->version, &explained->model, err));
    if (!value_key(argv[2], definition->item_affinity, buffer, &key))
        return value_no_key("item", argv[2], err);
    int32_t item = keymap_find(explained->model->items, key);
    if (item < 0) return fail(err, ST_BADARG, "the version does not know this item");
    TRY(model_query_new(&explained->query, explained->model, err));
    HistoryRules rules = history_rules(explained->model);
    TRY(events_read_user(
        &explained->reader, explained->model, &rules, argv[1], &explained->history, err));
    explained->item = item;
    TRY(take_terms(explained, item, err));
    return sort_terms(explained, err);
}

/* argv[3]: options. */
static Status explain_call(Explained *explained, ExplainOptions *options, sqlite3 *db,
    sqlite3_value **argv, sqlite3_value *given, Err *err) {
    OptTarget target = {explain_options, options};
    TRY(value_options(&target, 1, given, err));
    if (sqlite3_value_type(argv[1]) == SQLITE_NULL) return fail(err, ST_BADARG, "user is NULL");
    return explain(explained, db, argv, options, err);
}

/* ---- rec_explain ---- */

static void term_row(RowSink *sink, const Explained *explained, int64_t at, double size) {
    const History *history = &explained->history.history;
    double part = at < 0 ? explained->rest : explained->part[at];
    if (at < 0) row_null(sink);
    else row_key(sink, keymap_key(explained->model->items, history->item[at]));
    row_number(sink, at < 0 ? NAN : (double)history->weight[at]);
    row_real(sink, part);
    row_number(sink, size > 0 ? fabs(part) / size : NAN);
    row_real(sink, explained->score);
    row_text(sink, explained->is_exact ? "exact" : "leave-one-out");
}

static Status explain_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Explained explained = {0};
    ExplainOptions options;
    TRY(guard_enter(err));
    Status status = explain_call(&explained, &options, db, argv, argv[3], err);
    guard_leave();
    if (status == ST_OK) {
        int64_t n = explained.history.history.n;
        double size = fabs(explained.rest);
        for (int64_t i = 0; i < n; i++) size += fabs(explained.part[i]);
        for (int64_t i = 0; i < n; i++) term_row(sink, &explained, explained.order[i].id, size);
        /* below what rounding leaves it is nothing */
        if (fabs(explained.rest) > 1e-6 * size) term_row(sink, &explained, -1, size);
    }
    explained_clear(&explained);
    return status;
}

/* ---- rec_reason ---- */

/* What the item is called in the catalogue, else its key. */
static Status append_name(const Explained *explained, int32_t item, Bytes *out, Err *err) {
    const ModelDefinition *definition = &explained->definition;
    Key key = keymap_key(explained->model->items, item);
    sqlite3_stmt *row = NULL;
    int has_row = 0;
    if (definition->items && definition->item_text) {
        TRY(sql_prepare(definition->id.db, &row, err,
            "SELECT e.\"%w\" FROM \"%w\".\"%w\" AS e WHERE e.\"%w\"=?1 LIMIT 1",
            definition->item_text, definition->id.schema, definition->items, definition->item_key));
        value_bind_key(row, 1, key);
        Status status = sql_step(definition->id.db, row, &has_row, err);
        if (status != ST_OK) {
            sqlite3_finalize(row);
            return status;
        }
    }
    const char *text = has_row ? (const char *)sqlite3_column_text(row, 0) : NULL;
    if (text) bytes_append(out, text, strlen(text));
    else if (key.text) bytes_append(out, key.text, key.len);
    else bytes_format(out, "%lld", (long long)key.integer);
    sqlite3_finalize(row);
    return ST_OK;
}

/* An item that she has is no reason for itself. */
static int speaks_for(const Explained *explained, int64_t at) {
    return explained->part[at] > 0 && explained->history.history.item[at] != explained->item;
}

static Status append_names(const Explained *explained, const ExplainOptions *options, int64_t named,
    Bytes *out, Err *err) {
    for (int64_t i = 0, said = 0; said < named; i++) {
        int64_t at = explained->order[i].id;
        if (!speaks_for(explained, at)) continue;
        if (said) {
            const char *between = said + 1 == named ? options->and : ", ";
            bytes_append(out, between, strlen(between));
        }
        TRY(append_name(explained, explained->history.history.item[at], out, err));
        said++;
    }
    return ST_OK;
}

/* *out stays empty where no item of the history speaks for it. */
static Status write_reason(
    const Explained *explained, const ExplainOptions *options, Bytes *out, Err *err) {
    static const char place[] = "{items}";
    const char *at = strstr(options->text, place);
    int64_t named = 0;
    if (!at) return fail(err, ST_BADARG, "text has no %s", place);
    for (int64_t i = 0; i < explained->history.history.n; i++) named += speaks_for(explained, i);
    if (named > options->items) named = options->items;
    if (!named) return ST_OK;
    bytes_append(out, options->text, (size_t)(at - options->text));
    TRY(append_names(explained, options, named, out, err));
    bytes_append(out, at + strlen(place), strlen(at + strlen(place)));
    return out->failed ? fail_nomem(err, "the sentence") : ST_OK;
}

static void rec_reason(sqlite3_context *context, int argc, sqlite3_value **argv) {
    Explained explained = {0};
    ExplainOptions options;
    Bytes out = {0};
    Err err = {0};
    Status status = guard_enter(&err);
    if (status == ST_OK) {
        status = explain_call(&explained, &options, sqlite3_context_db_handle(context), argv,
            argc > 3 ? argv[3] : NULL, &err);
        if (status == ST_OK) status = write_reason(&explained, &options, &out, &err);
        guard_leave(); /* names are read from a table of somebody else's, too */
    }
    if (status != ST_OK) sql_function_error(context, "rec_reason", status, &err);
    else if (out.len)
        sqlite3_result_text64(
            context, (const char *)out.data, out.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    bytes_clear(&out);
    explained_clear(&explained);
}

int register_explain(sqlite3 *db) {
    static const RowTable table = {.name = "rec_explain",
        .columns = "item, weight REAL, contribution REAL, share REAL, score REAL, method TEXT",
        .n_columns = 6,
        .arguments = ", model HIDDEN, user HIDDEN, explained HIDDEN, options HIDDEN",
        .n_arguments = 4,
        .n_required = 3,
        .fill = explain_fill};
    int code = row_table_register(db, &table);
    for (int n = 3; n <= 4 && !code; n++)
        code = sqlite3_create_function_v2(
            db, "rec_reason", n, SQLITE_UTF8, NULL, rec_reason, NULL, NULL, NULL);
    return code;
}
