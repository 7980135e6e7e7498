/* Reading the behaviour table: one user's live history, or everything.
 *
 * Every column is named e."col" of "schema"."events", so that no argument can become an expression or a string, and a
 * table of the same name in another schema is never read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "model_table.h"

void events_reader_clear(EventsReader *reader) {
    sqlite3_finalize(reader->one_user);
    *reader = (EventsReader){0};
}

/* SELECT user, item, weight, time FROM events, with `where` after it. */
static Status prepare_events(const ModelDefinition *d, sqlite3_stmt **out, const char *where, Err *err) {
    char *weight = d->weight ? sqlite3_mprintf("e.\"%w\"", d->weight) : sqlite3_mprintf("1");
    char *time = d->time ? sqlite3_mprintf("CASE typeof(e.\"%w\") WHEN 'text' THEN unixepoch(e.\"%w\") ELSE e.\"%w\" END", d->time, d->time, d->time) : sqlite3_mprintf("0");
    Status status = weight && time ? glue_prepare(d->db, out, err, "SELECT e.\"%w\", e.\"%w\", %s, %s FROM \"%w\".\"%w\" AS e%s", d->user, d->item, weight, time, d->schema, d->events, where)
                                   : fail_nomem(err, "SQL");
    sqlite3_free(weight);
    sqlite3_free(time);
    return status;
}

static Status enter(EventsReader *reader, Err *err) {
    if (reader->busy) return fail(err, ST_BADARG, "%s reads the model itself", reader->definition->events);
    reader->busy = 1;
    return ST_OK;
}

/* weight and time of the present row, checked. */
static Status read_numbers(const ModelDefinition *d, sqlite3_stmt *row, double *weight, double *time, Err *err) {
    int kind = sqlite3_column_type(row, 2);
    if (kind == SQLITE_NULL || (kind != SQLITE_INTEGER && kind != SQLITE_FLOAT && sqlite3_value_numeric_type(sqlite3_column_value(row, 2)) == SQLITE_TEXT))
        return fail(err, ST_BADARG, "%s.%s is %s (a number)", d->events, d->weight, kind == SQLITE_NULL ? "NULL" : "no number");
    *weight = sqlite3_column_double(row, 2);
    if (!isfinite(*weight) || fabs(*weight) > DATASET_MAX_WEIGHT)
        return fail(err, ST_BADARG, "%s.%s is %g (-1e12..1e12)", d->events, d->weight, *weight);
    kind = sqlite3_column_type(row, 3);
    if (kind != SQLITE_INTEGER && kind != SQLITE_FLOAT)
        return fail(err, ST_BADARG, "%s.%s is NULL or no date (unix seconds or SQLite date text)", d->events, d->time);
    *time = sqlite3_column_double(row, 3);
    return isfinite(*time) ? ST_OK : fail(err, ST_BADARG, "%s.%s is no finite number", d->events, d->time);
}

static Status read_row(const ModelDefinition *d, sqlite3_stmt *row, Key *user, Key *item, char *buffer, double *weight, double *time, Err *err) {
    if (!glue_key(sqlite3_column_value(row, 0), d->user_affinity, buffer, user))
        return fail(err, ST_BADARG, "%s.%s is NULL, a BLOB or a fraction (INTEGER or TEXT; leave such rows out in a view)", d->events, d->user);
    if (!glue_key(sqlite3_column_value(row, 1), d->item_affinity, buffer + 32, item))
        return fail(err, ST_BADARG, "%s.%s is NULL, a BLOB or a fraction (INTEGER or TEXT; leave such rows out in a view)", d->events, d->item);
    return read_numbers(d, row, weight, time, err);
}

typedef Status (*RowVisitor)(void *context, Key user, Key item, double weight, double time, Err *err);

static Status visit_all(EventsReader *reader, int has_until, double until, RowVisitor visit, void *context, Err *err) {
    sqlite3_stmt *rows = NULL;
    int has_row = 1;
    char buffer[64];
    TRY(enter(reader, err));
    Status status = prepare_events(reader->definition, &rows, "", err);
    while (status == ST_OK) {
        Key user, item;
        double weight, time;
        status = glue_step(reader->definition->db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_row(reader->definition, rows, &user, &item, buffer, &weight, &time, err);
        if (status == ST_OK && !(has_until && time >= until)) status = visit(context, user, item, weight, time, err);
    }
    sqlite3_finalize(rows);
    reader->busy = 0;
    return status;
}

static Status add_event(void *context, Key user, Key item, double weight, double time, Err *err) {
    return dataset_add(context, user, item, weight, time, err);
}

Status events_read_all(EventsReader *reader, int has_until, double until, Dataset *data, Err *err) {
    return visit_all(reader, has_until, until, add_event, data, err);
}

HistoryRules history_rules(const Model *model) {
    return (HistoryRules){.newest = model->newest, .half_life = model->common.half_life, .max_history = model->common.max_history,
                          .has_until = model->has_until, .until = model->until};
}

void owned_history_clear(OwnedHistory *owned) {
    mem_free(owned->history.item);
    mem_free(owned->history.weight);
    mem_free(owned->time);
    *owned = (OwnedHistory){0};
}

static Status fill_history(OwnedHistory *out, const Event *pair, int64_t n, Err *err) {
    if (n > out->capacity || !out->history.item) {
        owned_history_clear(out);
        out->history.item = mem_array((size_t)n, sizeof *out->history.item);
        out->history.weight = mem_array((size_t)n, sizeof *out->history.weight);
        out->time = mem_array((size_t)n, sizeof *out->time);
        if (!out->history.item || !out->history.weight || !out->time) return fail_nomem(err, "the history");
        out->capacity = n;
    }
    for (int64_t i = 0; i < n; i++) {
        out->history.item[i] = pair[i].item;
        out->history.weight[i] = (float)pair[i].weight;
        out->time[i] = pair[i].time;
    }
    out->history.n = n;
    return ST_OK;
}

static Status read_pairs(EventsReader *reader, const Model *model, const HistoryRules *rules, Event **pair, int64_t *n, Err *err) {
    const ModelDefinition *d = reader->definition;
    int64_t capacity = 0;
    int has_row = 1;
    char buffer[64];
    Status status = ST_OK;
    while (status == ST_OK) {
        Key user, item;
        double weight, time;
        status = glue_step(d->db, reader->one_user, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_row(d, reader->one_user, &user, &item, buffer, &weight, &time, err);
        int32_t id = status == ST_OK ? keymap_find(model->items, item) : -1;
        if (id < 0 || (rules->has_until && time >= rules->until)) continue;
        if (*n == capacity) {
            capacity = capacity * 2 + 128;
            Event *grown = mem_resize(*pair, (size_t)capacity, sizeof *grown);
            if (!grown) return fail_nomem(err, "the history");
            *pair = grown;
        }
        (*pair)[(*n)++] = (Event){.item = id, .weight = weight, .time = time};
    }
    return status;
}

Status events_read_user(EventsReader *reader, const Model *model, const HistoryRules *rules, sqlite3_value *user, OwnedHistory *out, Err *err) {
    const ModelDefinition *d = reader->definition;
    Event *pair = NULL; /* all of user 0 */
    int64_t n = 0;
    out->history.n = 0;
    TRY(enter(reader, err));
    Status status = ST_OK;
    if (!reader->one_user) {
        char *where = sqlite3_mprintf(" WHERE e.\"%w\"=?1", d->user);
        status = where ? prepare_events(d, &reader->one_user, where, err) : fail_nomem(err, "SQL");
        sqlite3_free(where);
    }
    if (status == ST_OK) {
        sqlite3_bind_value(reader->one_user, 1, user);
        status = read_pairs(reader, model, rules, &pair, &n, err);
        sqlite3_reset(reader->one_user);
        sqlite3_clear_bindings(reader->one_user);
    }
    reader->busy = 0;
    if (status == ST_OK) {
        events_sort(pair, n);
        status = fill_history(out, pair, events_net(pair, n, rules->newest, rules->half_life, rules->max_history), err);
    }
    mem_free(pair);
    return status;
}

typedef struct Collected {
    const Model *model;
    KeyMap *users;
    Event *event;
    int64_t n;
    int64_t capacity;
} Collected;

static Status collect(void *context, Key user, Key item, double weight, double time, Err *err) {
    Collected *c = context;
    int32_t id;
    TRY(keymap_add(c->users, user, &id, err));
    int32_t known = keymap_find(c->model->items, item);
    if (known < 0) return ST_OK;
    if (c->n == c->capacity) {
        c->capacity = c->capacity + c->capacity / 2 + 1024;
        Event *grown = mem_resize(c->event, (size_t)c->capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the histories");
        c->event = grown;
    }
    c->event[c->n++] = (Event){id, known, weight, time};
    return ST_OK;
}

void all_histories_clear(AllHistories *all) {
    keymap_free(all->users);
    csr_clear(&all->rows);
    *all = (AllHistories){0};
}

/* Group by user (counting sort), net each group, and lay the groups out as rows. */
static Status group_histories(Collected *c, const int32_t *new_id, const HistoryRules *rules, AllHistories *out, Err *err) {
    int32_t n_users = keymap_count(c->users);
    int64_t *start = mem_zeros((size_t)n_users + 1, sizeof *start);
    Event *sorted = mem_array((size_t)c->n, sizeof *sorted);
    Status status = start && sorted ? csr_alloc(&out->rows, n_users, c->model->n_items, c->n, err) : fail_nomem(err, "the histories");
    if (status == ST_OK) {
        for (int64_t i = 0; i < c->n; i++) start[new_id[c->event[i].user] + 1]++;
        for (int32_t u = 0; u < n_users; u++) start[u + 1] += start[u];
        for (int64_t i = 0; i < c->n; i++) sorted[start[new_id[c->event[i].user]]++] = c->event[i];
        int64_t from = 0, at = 0;
        for (int32_t u = 0; u < n_users; u++) { /* start[u] is now the end of user u */
            events_sort(sorted + from, start[u] - from);
            int64_t kept = events_net(sorted + from, start[u] - from, rules->newest, rules->half_life, rules->max_history);
            for (int64_t i = 0; i < kept; i++, at++) {
                out->rows.col[at] = sorted[from + i].item;
                out->rows.val[at] = (float)sorted[from + i].weight;
            }
            out->rows.row_start[u + 1] = at;
            from = start[u];
        }
    }
    mem_free(start);
    mem_free(sorted);
    return status;
}

Status events_read_histories(EventsReader *reader, const Model *model, const HistoryRules *rules, AllHistories *out, Err *err) {
    Collected c = {.model = model, .users = keymap_new()};
    int32_t *new_id = NULL;
    *out = (AllHistories){0};
    Status status = c.users ? visit_all(reader, rules->has_until, rules->until, collect, &c, err) : fail_nomem(err, "the users");
    if (status == ST_OK) status = keymap_sort(c.users, &new_id, err);
    if (status == ST_OK) status = group_histories(&c, new_id, rules, out, err);
    mem_free(new_id);
    mem_free(c.event);
    out->users = c.users;
    if (status != ST_OK) all_histories_clear(out);
    return status;
}

Status events_access(const ModelDefinition *d, const char **out, Err *err) {
    sqlite3_stmt *statement;
    int has_row = 1, scan = 0;
    TRY(glue_prepare(d->db, &statement, err, "EXPLAIN QUERY PLAN SELECT e.\"%w\" FROM \"%w\".\"%w\" AS e WHERE e.\"%w\"=?1", d->item, d->schema, d->events, d->user));
    Status status = ST_OK;
    while (status == ST_OK) {
        status = glue_step(d->db, statement, &has_row, err);
        if (status != ST_OK || !has_row) break;
        const char *detail = (const char *)sqlite3_column_text(statement, 3);
        scan |= detail && strncmp(detail, "SCAN", 4) == 0;
    }
    sqlite3_finalize(statement);
    *out = scan ? "scan" : "index";
    return status;
}
