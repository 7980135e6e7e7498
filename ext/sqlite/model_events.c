/* Reading the behaviour table: one user's live history, or everything.
 *
 * Every column is named e."col" of "schema"."events", so that no argument can become an expression or a string, and a
 * table of the same name in another schema is never read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/text.h"
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

/* Columns of the statements over the events. */
enum { COLUMN_USER, COLUMN_ITEM, COLUMN_WEIGHT, COLUMN_TIME, COLUMN_SESSION };

/* SELECT user, item, weight, time, session FROM events, with `where` after it. */
static Status prepare_events(const ModelDefinition *d, sqlite3_stmt **out, const char *where, Err *err) {
    TRY(guard_source(d->db, d->schema, d->events, 0, err));
    char *weight = d->weight ? sqlite3_mprintf("e.\"%w\"", d->weight) : sqlite3_mprintf("1");
    char *time = d->time ? sqlite3_mprintf("e.\"%w\"", d->time) : sqlite3_mprintf("0");
    char *session = d->session ? sqlite3_mprintf("e.\"%w\"", d->session) : sqlite3_mprintf("0");
    Status status = weight && time && session ? glue_prepare(d->db, out, err, "SELECT e.\"%w\", e.\"%w\", %s, %s, %s FROM \"%w\".\"%w\" AS e%s", d->user, d->item, weight, time, session, d->schema, d->events, where)
                                              : fail_nomem(err, "SQL");
    sqlite3_free(weight);
    sqlite3_free(time);
    sqlite3_free(session);
    return status;
}

/* "NULL", "a BLOB of 8 bytes", "'31/12/2024'", "3.5": the value as an error shows it. */
static const char *shown(sqlite3_stmt *row, int column, char *out, size_t size) {
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL: return "NULL";
    case SQLITE_BLOB: text_format(out, size, "a BLOB of %d bytes", sqlite3_column_bytes(row, column)); return out;
    case SQLITE_TEXT: text_format(out, size, "'%.40s'", (const char *)sqlite3_column_text(row, column)); return out;
    default: text_format(out, size, "%.15g", sqlite3_column_double(row, column)); return out;
    }
}

/* A value of the present row that cannot be used: which, what is allowed, and where to see all of them. */
static Status bad_value(const ModelDefinition *d, sqlite3_stmt *row, int column, const char *name, const char *allowed, Err *err) {
    char value[80];
    return fail(err, ST_BADARG, "%s.%s is %s (%s; SELECT * FROM rec_check_events('%s') lists such rows)", d->events, name, shown(row, column, value, sizeof value), allowed, d->name);
}

int events_number(sqlite3_stmt *row, int column, double *out) {
    sqlite3_value *value = sqlite3_column_value(row, column); /* one lock, not one for each question */
    int kind = sqlite3_value_type(value);
    if (kind == SQLITE_INTEGER || kind == SQLITE_FLOAT) return isfinite(*out = sqlite3_value_double(value));
    return kind == SQLITE_TEXT && number_parse((const char *)sqlite3_column_text(row, column), (size_t)sqlite3_column_bytes(row, column), out);
}

/* What to write where a number is no time in its unit. */
static Status wrong_unit(const ModelDefinition *d, const char *table, const char *looks, double value, Err *err) {
    if (looks && strncmp(looks, "yyyymmdd", 8) == 0)
        return fail(err, ST_BADARG, "%s.%s is %.15g, which looks like %s and is taken as seconds since 1970 (make it a date text such as '2024-01-31' in a view)", table, d->time, value, looks);
    if (looks) return fail(err, ST_BADARG, "%s.%s is %.15g, which looks like %s and is taken as seconds since 1970 (give the model time_unit=%s)", table, d->time, value, looks, looks);
    return fail(err, ST_BADARG, "%s.%s is %.15g, which is no time in its unit (time_unit=" TIME_UNITS ")", table, d->time, value);
}

Status events_time(const ModelDefinition *d, sqlite3_stmt *row, int column, const char *table, double *out, Err *err) {
    double number;
    char value[80];
    if (!d->time) {
        *out = 0;
        return ST_OK;
    }
    if (events_number(row, column, &number)) {
        *out = date_from_number(number, d->time_unit);
        return date_is_possible(*out) ? ST_OK : wrong_unit(d, table, d->time_unit == TIME_SECONDS ? date_looks_like(number) : NULL, number, err);
    }
    if (sqlite3_column_type(row, column) == SQLITE_TEXT && date_parse((const char *)sqlite3_column_text(row, column), (size_t)sqlite3_column_bytes(row, column), out)) return ST_OK;
    return fail(err, ST_BADARG, "%s.%s is %s, which is no time (unix seconds, or a text such as '2024-01-31' or '2024-01-31 10:00:00'; SELECT * FROM rec_check_events('%s') lists such rows)", table, d->time,
                shown(row, column, value, sizeof value), d->name);
}

/* weight and time of the present row, checked. */
static Status read_numbers(const ModelDefinition *d, sqlite3_stmt *row, double *weight, double *time, Err *err) {
    if (!events_number(row, COLUMN_WEIGHT, weight) || fabs(*weight) > DATASET_MAX_WEIGHT) return bad_value(d, row, COLUMN_WEIGHT, d->weight, "a number, -1e12..1e12", err);
    return events_time(d, row, COLUMN_TIME, d->events, time, err);
}

static const char A_KEY[] = "an INTEGER or a TEXT; NULL, a BLOB or a fraction is no key: leave such rows out in a view";

static Status read_row(const ModelDefinition *d, sqlite3_stmt *row, Key *user, Key *item, char *buffer, double *weight, double *time, Err *err) {
    if (!glue_key(sqlite3_column_value(row, COLUMN_USER), d->user_affinity, buffer, user)) return bad_value(d, row, COLUMN_USER, d->user, A_KEY, err);
    if (!glue_key(sqlite3_column_value(row, COLUMN_ITEM), d->item_affinity, buffer + KEY_BUFFER, item)) return bad_value(d, row, COLUMN_ITEM, d->item, A_KEY, err);
    return read_numbers(d, row, weight, time, err);
}

/* The session of the present row. */
static Status read_session(const ModelDefinition *d, sqlite3_stmt *row, char buffer[KEY_BUFFER], Key *out, Err *err) {
    return glue_key(sqlite3_column_value(row, COLUMN_SESSION), AFFINITY_NONE, buffer, out) ? ST_OK : bad_value(d, row, COLUMN_SESSION, d->session, A_KEY, err);
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

/* Every event before until (if has_until); passed_over, if it is given, gets the users of the others. */
static Status visit_all(EventsReader *reader, int has_until, double until, RowVisitor visit, Status (*passed_over)(void *, Key, Err *), void *context, Err *err) {
    const ModelDefinition *d = reader->definition;
    sqlite3_stmt *rows = NULL;
    int has_row = 1, unit_to_check = d->time && d->time_unit == TIME_SECONDS; /* where a time is the number that stands there */
    char buffer[2 * KEY_BUFFER];
    Status status = prepare_events(d, &rows, "", err);
    reader->rows = 0;
    reader->span = (TimeSpan){0};
    reader->first = INFINITY;
    while (status == ST_OK) {
        Key user, item;
        double weight, time;
        status = glue_step(d->db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        status = read_row(d, rows, &user, &item, buffer, &weight, &time, err);
        if (status != ST_OK) break;
        reader->rows++;
        if (reader->task && reader->rows % 4096 == 0) {
            atomic_store(&reader->task->done, reader->rows);
            if (task_poll(reader->task)) status = fail(err, ST_CANCELLED, "interrupted");
            if (status != ST_OK) break;
        }
        if (unit_to_check && sqlite3_value_type(sqlite3_column_value(rows, COLUMN_TIME)) != SQLITE_TEXT) time_span_add(&reader->span, time);
        reader->first = fmin(reader->first, time);
        if (!(has_until && time >= until))
            status = visit(context, rows, user, item, weight, time, err);
        else if (passed_over)
            status = passed_over(context, user, err);
    }
    sqlite3_finalize(rows);
    return status;
}

/* Do the times that a pass met make sense together? days_matter: a decay or a moment counts in days or seconds. */
static Status check_times(const EventsReader *reader, int days_matter, Err *err) {
    const ModelDefinition *d = reader->definition;
    const char *looks = d->time && d->time_unit == TIME_SECONDS ? time_span_suspect(&reader->span, days_matter) : NULL;
    return looks ? wrong_unit(d, d->events, looks, reader->span.most, err) : ST_OK;
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
    char buffer[KEY_BUFFER];
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
    TRY(visit_all(reader, has_until, until, add_event, NULL, &training, err));
    TRY(check_times(reader, has_until || definition->common.half_life > 0, err));
    if (has_until && reader->rows && !data->n_events)
        return fail(err, ST_BADARG, "no event of %s is before until=%.15g (unix seconds); the first is at %.15g", reader->definition->events, until, reader->first);
    return ST_OK;
}

static Status add_to_set(void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    (void)row;
    return event_set_add(context, user, item, weight, time, err);
}

Status events_read_set(EventsReader *reader, int has_until, double until, EventSet *set, Err *err) {
    TRY(visit_all(reader, has_until, until, add_to_set, NULL, set, err));
    return check_times(reader, has_until, err);
}

HistoryRules history_rules(const Model *model) {
    DatasetRules rules = model_rules(model->algorithm, &model->common, &model->params);
    return (HistoryRules){.newest = model->newest, .pair = rules.pair, .basket = rules.basket, .has_until = model->has_until, .until = model->until};
}

void owned_history_clear(OwnedHistory *owned) {
    mem_free(owned->history.item);
    mem_free(owned->history.weight);
    mem_free(owned->history.time);
    mem_free(owned->seen);
    *owned = (OwnedHistory){0};
}

Status owned_history_reserve(OwnedHistory *out, int64_t n, Err *err) {
    if (n > out->capacity || !out->history.item) {
        owned_history_clear(out);
        out->history.item = mem_array((size_t)n, sizeof *out->history.item);
        out->history.weight = mem_array((size_t)n, sizeof *out->history.weight);
        out->history.time = mem_array((size_t)n, sizeof *out->history.time);
        out->seen = mem_array((size_t)n, sizeof *out->seen);
        if (!out->history.item || !out->history.weight || !out->history.time || !out->seen) return fail_nomem(err, "the history");
        out->capacity = n;
    }
    out->history.n = 0;
    out->history.seen = NULL;
    return ST_OK;
}

/* There is room for n. */
static void fill_history(OwnedHistory *out, const Event *pair, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out->history.item[i] = pair[i].item;
        out->history.weight[i] = (float)pair[i].weight;
        out->history.time[i] = pair[i].time;
    }
    out->history.n = n;
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
        char buffer[KEY_BUFFER];
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

/* The items that are there of sorted events, without those that the model does not know, which are last. */
static int64_t held_items(const Event *event, int64_t n, const HistoryRules *rules, int32_t *item) {
    int64_t held = events_held(event, n, &rules->pair, item);
    while (held > 0 && item[held - 1] == UNKNOWN_ITEM) held--;
    return held;
}

/* One user's n events become her pairs, *n_pairs at the front. seen, unless it is NULL, has room for n: what she has at
 * all, however long ago, *n_seen items. Where sessions count, her latest is all that counts. */
static Status net_history(Event *event, const uint64_t *session, int64_t n, const HistoryRules *rules, int64_t *n_pairs, int32_t *seen, int64_t *n_seen, Err *err) {
    *n_pairs = *n_seen = 0;
    if (session) n = latest_session(event, session, n);
    events_sort(event, n);
    if (seen) *n_seen = held_items(event, n, rules, seen);
    TRY(weigh(event, &n, rules, err));
    *n_pairs = events_net(event, n, newest_of(event, n, rules->newest), &rules->pair);
    return ST_OK;
}

/* All of user 0. */
static Status collect_user(EventsReader *reader, const HistoryRules *rules, Collected *c, Err *err) {
    const ModelDefinition *d = reader->definition;
    int has_row = 1;
    char buffer[2 * KEY_BUFFER];
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

/* The events of a user, ?1. Keys are bytes: a column's own collation may call several equal (the first condition, which an
 * index serves). */
static Status prepare_one_user(EventsReader *reader, Err *err) {
    const ModelDefinition *d = reader->definition;
    if (reader->one_user) return ST_OK;
    char *where = sqlite3_mprintf(" WHERE e.\"%w\"=?1 AND e.\"%w\"=?1 COLLATE BINARY", d->user, d->user);
    Status status = where ? prepare_events(d, &reader->one_user, where, err) : fail_nomem(err, "SQL");
    sqlite3_free(where);
    return status;
}

Status events_read_user(EventsReader *reader, const Model *model, const HistoryRules *rules, sqlite3_value *user, OwnedHistory *out, Err *err) {
    Collected c = {.definition = reader->definition, .model = model};
    out->history.n = 0;
    Status status = prepare_one_user(reader, err);
    if (status == ST_OK) {
        sqlite3_bind_value(reader->one_user, 1, user);
        status = collect_user(reader, rules, &c, err);
        sqlite3_reset(reader->one_user);
        sqlite3_clear_bindings(reader->one_user);
    }
    if (status == ST_OK) status = owned_history_reserve(out, c.n, err);
    if (status == ST_OK) {
        int64_t n;
        status = net_history(c.event, c.session, c.n, rules, &n, out->seen, &out->history.n_seen, err);
        out->history.seen = out->seen;
        if (status == ST_OK) fill_history(out, c.event, n);
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

/* A user whose events are all later is a user. */
static Status collect_user_alone(void *context, Key user, Err *err) {
    Collected *c = context;
    int32_t id;
    return keymap_add(c->users, user, &id, err);
}

void all_histories_clear(AllHistories *all) {
    keymap_free(all->users);
    csr_clear(&all->rows);
    mem_free(all->time);
    mem_free(all->seen);
    mem_free(all->seen_start);
    *all = (AllHistories){0};
}

History all_histories_row(const AllHistories *all, int32_t user) {
    int64_t from = all->rows.row_start[user];
    History history = {.item = all->rows.col + from, .weight = all->rows.val + from, .n = csr_row_len(&all->rows, user), .time = all->time + from};
    if (all->seen) {
        history.seen = all->seen + all->seen_start[user];
        history.n_seen = all->seen_start[user + 1] - all->seen_start[user];
    }
    return history;
}

int all_histories_has(const AllHistories *all, int32_t user, int32_t item) {
    History history = all_histories_row(all, user);
    int64_t n, low = 0;
    const int32_t *seen = history_seen(&history, &n);
    while (low < n) { /* ascending */
        int64_t middle = low + (n - low) / 2;
        if (seen[middle] == item) return 1;
        if (seen[middle] < item)
            low = middle + 1;
        else
            n = middle;
    }
    return 0;
}

/* Events in the order of their users (counting sort), each with its session where they count; start: users + 1. */
typedef struct Grouped {
    int64_t *start;
    Event *event;
    uint64_t *session;
} Grouped;

static void grouped_clear(Grouped *grouped) {
    mem_free(grouped->start);
    mem_free(grouped->event);
    mem_free(grouped->session);
}

static Status group_events(const Collected *c, const int32_t *new_id, Grouped *out, Err *err) {
    int32_t n_users = keymap_count(c->users);
    *out = (Grouped){mem_zeros((size_t)n_users + 2, sizeof *out->start), mem_array((size_t)c->n, sizeof *out->event), c->session ? mem_array((size_t)c->n, sizeof *out->session) : NULL};
    if (!out->start || !out->event || (c->session && !out->session)) return fail_nomem(err, "the histories");
    int64_t *next = out->start + 1; /* where user u's next event goes; in the end where u + 1 begins */
    for (int64_t i = 0; i < c->n; i++) next[new_id[c->event[i].user] + 1]++;
    for (int32_t u = 0; u < n_users; u++) next[u + 1] += next[u];
    for (int64_t i = 0; i < c->n; i++) {
        int64_t to = next[new_id[c->event[i].user]]++;
        out->event[to] = c->event[i];
        if (c->session) out->session[to] = c->session[i];
    }
    return ST_OK;
}

static Status alloc_histories(const Collected *c, const HistoryRules *rules, AllHistories *out, Err *err) {
    int32_t n_users = keymap_count(c->users);
    TRY(csr_alloc(&out->rows, n_users, c->model->n_items, c->n, err));
    out->time = mem_array((size_t)c->n, sizeof *out->time);
    if (!out->time) return fail_nomem(err, "the histories");
    if (rules->pair.max_history <= 0 && !rules->basket.group) return ST_OK; /* the taste is all that is there */
    out->seen = mem_array((size_t)c->n, sizeof *out->seen);
    out->seen_start = mem_zeros((size_t)n_users + 1, sizeof *out->seen_start);
    return out->seen && out->seen_start ? ST_OK : fail_nomem(err, "the histories");
}

/* Net each user's events, and lay them out as rows. */
static Status net_histories(Grouped *grouped, const HistoryRules *rules, AllHistories *out, Err *err) {
    int64_t at = 0, seen_at = 0;
    for (int32_t u = 0; u < out->rows.n_rows; u++) {
        int64_t from = grouped->start[u], pairs, n_seen;
        Event *event = grouped->event + from;
        TRY(net_history(event, grouped->session ? grouped->session + from : NULL, grouped->start[u + 1] - from, rules, &pairs, out->seen ? out->seen + seen_at : NULL, &n_seen, err));
        for (int64_t i = 0; i < pairs; i++, at++) {
            out->rows.col[at] = event[i].item;
            out->rows.val[at] = (float)event[i].weight;
            out->time[at] = event[i].time;
        }
        out->rows.row_start[u + 1] = at;
        seen_at += n_seen;
        if (out->seen) out->seen_start[u + 1] = seen_at;
    }
    return ST_OK;
}

/* What was collected, if that went well (status), by user in key order; c is cleared. */
static Status lay_out_histories(Collected *c, Status status, const HistoryRules *rules, AllHistories *out, Err *err) {
    Grouped grouped = {0};
    int32_t *new_id = NULL;
    if (status == ST_OK) status = keymap_sort(c->users, &new_id, err);
    if (status == ST_OK) status = group_events(c, new_id, &grouped, err);
    if (status == ST_OK) status = alloc_histories(c, rules, out, err);
    if (status == ST_OK) status = net_histories(&grouped, rules, out, err);
    mem_free(new_id);
    grouped_clear(&grouped);
    collected_clear(c);
    out->users = c->users;
    if (status != ST_OK) all_histories_clear(out);
    return status;
}

Status events_read_histories(EventsReader *reader, const Model *model, const HistoryRules *rules, AllHistories *out, Err *err) {
    Collected c = {.definition = reader->definition, .model = model, .rules = rules, .users = keymap_new()};
    *out = (AllHistories){0};
    Status status = c.users ? visit_all(reader, rules->has_until, rules->until, collect, collect_user_alone, &c, err) : fail_nomem(err, "the users");
    return lay_out_histories(&c, status, rules, out, err);
}

/* The keys of the first n users among the first events. */
static Status first_users(const EventsReader *reader, int32_t n, KeyMap *out, Err *err) {
    const ModelDefinition *d = reader->definition;
    sqlite3_stmt *rows;
    int has_row = 1;
    char buffer[KEY_BUFFER];
    TRY(prepare_events(d, &rows, " LIMIT 1000", err));
    Status status = ST_OK;
    while (status == ST_OK && keymap_count(out) < n) {
        Key user;
        int32_t id;
        status = glue_step(d->db, rows, &has_row, err);
        if (status != ST_OK || !has_row) break;
        if (glue_key(sqlite3_column_value(rows, COLUMN_USER), d->user_affinity, buffer, &user)) status = keymap_add(out, user, &id, err);
    }
    sqlite3_finalize(rows);
    return status;
}

/* All events of the users that c has. */
static Status collect_users(EventsReader *reader, Collected *c, Err *err) {
    Status status = ST_OK;
    for (int32_t u = 0; u < keymap_count(c->users) && status == ST_OK; u++) {
        Key user = keymap_key(c->users, u);
        int64_t before = c->n;
        status = prepare_one_user(reader, err);
        if (status != ST_OK) break;
        if (user.text)
            sqlite3_bind_text64(reader->one_user, 1, user.text, user.len, SQLITE_TRANSIENT, SQLITE_UTF8);
        else
            sqlite3_bind_int64(reader->one_user, 1, user.integer);
        status = collect_user(reader, c->rules, c, err);
        sqlite3_reset(reader->one_user);
        sqlite3_clear_bindings(reader->one_user);
        for (int64_t i = before; i < c->n; i++) c->event[i].user = u;
    }
    return status;
}

Status events_read_first_users(EventsReader *reader, const Model *model, const HistoryRules *rules, int32_t n_users, AllHistories *out, Err *err) {
    Collected c = {.definition = reader->definition, .model = model, .rules = rules, .users = keymap_new()};
    *out = (AllHistories){0};
    Status status = c.users ? first_users(reader, n_users, c.users, err) : fail_nomem(err, "the users");
    if (status == ST_OK) status = collect_users(reader, &c, err);
    return lay_out_histories(&c, status, rules, out, err);
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
