/* Reading the behaviour table: one user's live history, or everything.
 *
 * Every column is named e."col" of "schema"."events", so that no argument can become an expression or a string, and a
 * table of the same name in another schema is never read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "guard.h"
#include "model_table.h"

void events_reader_clear(EventsReader *reader) {
    sqlite3_finalize(reader->one_user);
    *reader = (EventsReader){0};
}

/* Does the model want to know which session an event belongs to? */
static int has_sessions(const ModelDefinition *d, const Algorithm *algorithm) {
    return d->session && algorithm->by_session;
}

/* SELECT user, item, weight, time, session FROM events, with `where` after it. */
static Status prepare_events(const ModelDefinition *d, sqlite3_stmt **out, const char *where, Err *err) {
    TRY(guard_source(d->db, d->schema, d->events, 0, err));
    char *weight = d->weight ? sqlite3_mprintf("e.\"%w\"", d->weight) : sqlite3_mprintf("1");
    char *time = d->time ? sqlite3_mprintf("CASE typeof(e.\"%w\") WHEN 'text' THEN unixepoch(e.\"%w\") ELSE e.\"%w\" END", d->time, d->time, d->time) : sqlite3_mprintf("0");
    char *session = d->session ? sqlite3_mprintf("e.\"%w\"", d->session) : sqlite3_mprintf("0");
    Status status = weight && time && session ? glue_prepare(d->db, out, err, "SELECT e.\"%w\", e.\"%w\", %s, %s, %s FROM \"%w\".\"%w\" AS e%s", d->user, d->item, weight, time, session, d->schema, d->events, where)
                                              : fail_nomem(err, "SQL");
    sqlite3_free(weight);
    sqlite3_free(time);
    sqlite3_free(session);
    return status;
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

/* The session of the present row. */
static Status read_session(const ModelDefinition *d, sqlite3_stmt *row, char buffer[32], Key *out, Err *err) {
    if (glue_key(sqlite3_column_value(row, 4), AFFINITY_NONE, buffer, out)) return ST_OK;
    return fail(err, ST_BADARG, "%s.%s is NULL, a BLOB or a fraction (INTEGER or TEXT; leave such rows out in a view)", d->events, d->session);
}

/* FNV-1a of a session's key: sessions of one user are told apart by it. */
static uint64_t session_hash(Key key) {
    const unsigned char *text = (const unsigned char *)(key.text ? key.text : (const char *)&key.integer);
    uint64_t hash = key.text ? 1469598103934665603u : 7;
    for (size_t i = 0; i < (key.text ? key.len : sizeof key.integer); i++) hash = (hash ^ text[i]) * 1099511628211u;
    return hash;
}

/* Of n events and their sessions, only those of the session with the latest event stay; returns how many. */
static int64_t latest_session(Event *event, const uint64_t *session, int64_t n) {
    int64_t latest = 0, kept = 0;
    for (int64_t i = 1; i < n; i++)
        if (event[i].time > event[latest].time || (event[i].time == event[latest].time && session[i] > session[latest])) latest = i;
    uint64_t wanted = n ? session[latest] : 0;
    for (int64_t i = 0; i < n; i++)
        if (session[i] == wanted) event[kept++] = event[i];
    return kept;
}

/* Decay counts from the newest event that was trained on, or of this history where that is later: what came after the training
 * fades in its own order. */
static double newest_of(const Event *event, int64_t n, double trained) {
    for (int64_t i = 0; i < n; i++) trained = fmax(trained, event[i].time);
    return trained;
}

typedef Status (*RowVisitor)(void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err);

static Status visit_all(EventsReader *reader, int has_until, double until, RowVisitor visit, void *context, Err *err) {
    sqlite3_stmt *rows = NULL;
    int has_row = 1;
    char buffer[64];
    Status status = prepare_events(reader->definition, &rows, "", err);
    while (status == ST_OK) {
        Key user, item;
        double weight, time;
        status = glue_step(reader->definition->db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_row(reader->definition, rows, &user, &item, buffer, &weight, &time, err);
        if (status == ST_OK && !(has_until && time >= until)) status = visit(context, rows, user, item, weight, time, err);
    }
    sqlite3_finalize(rows);
    return status;
}

typedef struct Training {
    const ModelDefinition *definition;
    Dataset *data;
} Training;

/* A key as a part of a longer one, in an order that is the key's own. */
static void append_key(Bytes *out, Key key) {
    if (key.text) {
        bytes_append(out, "t", 1);
        bytes_append(out, key.text, key.len);
    } else {
        bytes_format(out, "i%016llx", (unsigned long long)key.integer ^ 1ULL << 63);
    }
    bytes_append(out, "\x1f", 1);
}

/* Where sessions count, they are the users of the dataset: a user may number her own. */
static Status add_event(void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    const Training *t = context;
    char buffer[32];
    Key session;
    Bytes both = {0};
    if (!has_sessions(t->definition, t->definition->algorithm)) return dataset_add(t->data, user, item, weight, time, err);
    TRY(read_session(t->definition, row, buffer, &session, err));
    append_key(&both, user);
    append_key(&both, session);
    bytes_format(&both, "%zx", user.len); /* whatever is in the texts, no two pairs are the same */
    Status status = both.failed ? fail_nomem(err, "a session") : dataset_add(t->data, (Key){.text = (const char *)both.data, .len = both.len}, item, weight, time, err);
    bytes_clear(&both);
    return status;
}

Status events_read_all(EventsReader *reader, const ModelDefinition *definition, int has_until, double until, Dataset *data, Err *err) {
    Training training = {definition, data};
    return visit_all(reader, has_until, until, add_event, &training, err);
}

static Status add_to_set(void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    (void)row;
    return event_set_add(context, user, item, weight, time, err);
}

Status events_read_set(EventsReader *reader, int has_until, double until, EventSet *set, Err *err) {
    return visit_all(reader, has_until, until, add_to_set, set, err);
}

HistoryRules history_rules(const Model *model) {
    BasketRules basket = model_baskets(model->algorithm, &model->params);
    return (HistoryRules){.newest = model->newest, .basket = basket, .half_life = basket.group ? 0 : model->common.half_life,
                          .max_history = model->common.max_history,
                          .has_until = model->has_until, .until = model->until};
}

void owned_history_clear(OwnedHistory *owned) {
    mem_free(owned->history.item);
    mem_free(owned->history.weight);
    mem_free(owned->history.time);
    *owned = (OwnedHistory){0};
}

Status owned_history_reserve(OwnedHistory *out, int64_t n, Err *err) {
    if (n > out->capacity || !out->history.item) {
        owned_history_clear(out);
        out->history.item = mem_array((size_t)n, sizeof *out->history.item);
        out->history.weight = mem_array((size_t)n, sizeof *out->history.weight);
        out->history.time = mem_array((size_t)n, sizeof *out->history.time);
        if (!out->history.item || !out->history.weight || !out->history.time) return fail_nomem(err, "the history");
        out->capacity = n;
    }
    out->history.n = 0;
    return ST_OK;
}

static Status fill_history(OwnedHistory *out, const Event *pair, int64_t n, Err *err) {
    TRY(owned_history_reserve(out, n, err));
    for (int64_t i = 0; i < n; i++) {
        out->history.item[i] = pair[i].item;
        out->history.weight[i] = (float)pair[i].weight;
        out->history.time[i] = pair[i].time;
    }
    out->history.n = n;
    return ST_OK;
}

/* Events in the order they are read, each with its session where sessions count. */
typedef struct Collected {
    const ModelDefinition *definition;
    const Model *model;
    const HistoryRules *rules;
    KeyMap *users; /* of everybody */
    Event *event;
    uint64_t *session; /* NULL where they do not count */
    int64_t n;
    int64_t capacity;
} Collected;

static Status collect_event(Collected *c, sqlite3_stmt *row, Event event, Err *err) {
    int sessions = has_sessions(c->definition, c->model->algorithm);
    if (c->n == c->capacity) {
        c->capacity = c->capacity + c->capacity / 2 + 128;
        Event *grown = mem_resize(c->event, (size_t)c->capacity, sizeof *grown);
        if (!grown) return fail_nomem(err, "the history");
        c->event = grown;
        uint64_t *more = sessions ? mem_resize(c->session, (size_t)c->capacity, sizeof *more) : NULL;
        if (sessions && !more) return fail_nomem(err, "the history");
        c->session = more;
    }
    if (sessions) {
        char buffer[32];
        Key key;
        TRY(read_session(c->definition, row, buffer, &key, err));
        c->session[c->n] = session_hash(key);
    }
    c->event[c->n++] = event;
    return ST_OK;
}

static void collected_clear(Collected *c) {
    mem_free(c->event);
    mem_free(c->session);
}

/* Items that the model does not know still make baskets: under this id until the baskets are weighed. */
enum { UNKNOWN_ITEM = INT32_MAX };

static int32_t item_or_unknown(const Model *model, const HistoryRules *rules, Key item) {
    int32_t id = keymap_find(model->items, item);
    return id < 0 && rules->basket.group ? UNKNOWN_ITEM : id;
}

static Status weigh(Event *event, int64_t *n, const HistoryRules *rules, Err *err) {
    int64_t kept = 0;
    TRY(events_weigh_baskets(event, *n, &rules->basket, err));
    for (int64_t i = 0; i < *n; i++)
        if (event[i].item != UNKNOWN_ITEM) event[kept++] = event[i];
    *n = kept;
    return ST_OK;
}

/* All of user 0. */
static Status collect_user(EventsReader *reader, const HistoryRules *rules, Collected *c, Err *err) {
    const ModelDefinition *d = reader->definition;
    int has_row = 1;
    char buffer[64];
    Status status = ST_OK;
    while (status == ST_OK) {
        Key user, item;
        double weight, time;
        status = glue_step(d->db, reader->one_user, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_row(d, reader->one_user, &user, &item, buffer, &weight, &time, err);
        int32_t id = status == ST_OK ? item_or_unknown(c->model, rules, item) : -1;
        if (id < 0 || (rules->has_until && time >= rules->until)) continue;
        status = collect_event(c, reader->one_user, (Event){.item = id, .weight = weight, .time = time}, err);
    }
    return status;
}

Status events_read_user(EventsReader *reader, const Model *model, const HistoryRules *rules, sqlite3_value *user, OwnedHistory *out, Err *err) {
    const ModelDefinition *d = reader->definition;
    Collected c = {.definition = d, .model = model};
    out->history.n = 0;
    Status status = ST_OK;
    if (!reader->one_user) {
        char *where = sqlite3_mprintf(" WHERE e.\"%w\"=?1", d->user);
        status = where ? prepare_events(d, &reader->one_user, where, err) : fail_nomem(err, "SQL");
        sqlite3_free(where);
    }
    if (status == ST_OK) {
        sqlite3_bind_value(reader->one_user, 1, user);
        status = collect_user(reader, rules, &c, err);
        sqlite3_reset(reader->one_user);
        sqlite3_clear_bindings(reader->one_user);
    }
    if (status == ST_OK) {
        int64_t n = c.session ? latest_session(c.event, c.session, c.n) : c.n;
        events_sort(c.event, n);
        status = weigh(c.event, &n, rules, err);
        if (status == ST_OK) status = fill_history(out, c.event, events_net(c.event, n, newest_of(c.event, n, rules->newest), rules->half_life, rules->max_history), err);
    }
    collected_clear(&c);
    return status;
}

static Status collect(void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    Collected *c = context;
    int32_t id;
    TRY(keymap_add(c->users, user, &id, err));
    int32_t known = item_or_unknown(c->model, c->rules, item);
    return known < 0 ? ST_OK : collect_event(c, row, (Event){id, known, weight, time}, err);
}

void all_histories_clear(AllHistories *all) {
    keymap_free(all->users);
    csr_clear(&all->rows);
    mem_free(all->time);
    *all = (AllHistories){0};
}

History all_histories_row(const AllHistories *all, int32_t user) {
    int64_t from = all->rows.row_start[user];
    return (History){all->rows.col + from, all->rows.val + from, csr_row_len(&all->rows, user), all->time + from};
}

/* Group by user (counting sort), net each group, and lay the groups out as rows. */
static Status group_histories(Collected *c, const int32_t *new_id, const HistoryRules *rules, AllHistories *out, Err *err) {
    int32_t n_users = keymap_count(c->users);
    int64_t *start = mem_zeros((size_t)n_users + 1, sizeof *start);
    Event *sorted = mem_array((size_t)c->n, sizeof *sorted);
    uint64_t *session = mem_array(c->session ? (size_t)c->n : 0, sizeof *session);
    out->time = mem_array((size_t)c->n, sizeof *out->time);
    Status status = start && sorted && session && out->time ? csr_alloc(&out->rows, n_users, c->model->n_items, c->n, err) : fail_nomem(err, "the histories");
    if (status == ST_OK) {
        for (int64_t i = 0; i < c->n; i++) start[new_id[c->event[i].user] + 1]++;
        for (int32_t u = 0; u < n_users; u++) start[u + 1] += start[u];
        for (int64_t i = 0; i < c->n; i++) {
            int64_t to = start[new_id[c->event[i].user]]++;
            sorted[to] = c->event[i];
            if (c->session) session[to] = c->session[i];
        }
        int64_t from = 0, at = 0;
        for (int32_t u = 0; u < n_users && status == ST_OK; u++) { /* start[u] is now the end of user u */
            int64_t n = c->session ? latest_session(sorted + from, session + from, start[u] - from) : start[u] - from;
            events_sort(sorted + from, n);
            status = weigh(sorted + from, &n, rules, err);
            int64_t kept = events_net(sorted + from, n, newest_of(sorted + from, n, rules->newest), rules->half_life, rules->max_history);
            for (int64_t i = 0; i < kept; i++, at++) {
                out->rows.col[at] = sorted[from + i].item;
                out->rows.val[at] = (float)sorted[from + i].weight;
                out->time[at] = sorted[from + i].time;
            }
            out->rows.row_start[u + 1] = at;
            from = start[u];
        }
    }
    mem_free(start);
    mem_free(sorted);
    mem_free(session);
    return status;
}

Status events_read_histories(EventsReader *reader, const Model *model, const HistoryRules *rules, AllHistories *out, Err *err) {
    Collected c = {.definition = reader->definition, .model = model, .rules = rules, .users = keymap_new()};
    int32_t *new_id = NULL;
    *out = (AllHistories){0};
    Status status = c.users ? visit_all(reader, rules->has_until, rules->until, collect, &c, err) : fail_nomem(err, "the users");
    if (status == ST_OK) status = keymap_sort(c.users, &new_id, err);
    if (status == ST_OK) status = group_histories(&c, new_id, rules, out, err);
    mem_free(new_id);
    collected_clear(&c);
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
