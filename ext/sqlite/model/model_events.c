/* Reading the behaviour table: one user's live history, or everything.
 *
 * Every column is named e."col" of "schema"."events", so that no argument can become an expression
 * or a string, and a table of the same name in another schema is never read. */
#include "model_events.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/text.h"
#include "../host/guard.h"
#include "../host/values.h"

void events_reader_clear(EventsReader *reader) {
    sqlite3_finalize(reader->one_user);
    *reader = (EventsReader){0};
}

/* Does the model want to know which session an event belongs to? */
static int has_sessions(
    const ModelDefinition *definition, const Algorithm *algorithm, const AlgorithmParams *params) {
    return definition->session && algorithm_by_session(algorithm, params);
}

/* Columns of the statements over the events. */
enum { COLUMN_USER, COLUMN_ITEM, COLUMN_WEIGHT, COLUMN_TIME, COLUMN_SESSION };

/* SELECT user, item, weight, time, session FROM events, with `where` after it. */
static Status prepare_events(
    const ModelDefinition *definition, sqlite3_stmt **out, const char *where, Err *err) {
    TRY(guard_source(definition->id.db, definition->id.schema, definition->events, 0, err));
    char *weight = definition->weight ? sqlite3_mprintf("e.\"%w\"", definition->weight)
                                      : sqlite3_mprintf("1");
    char *time = definition->time ? sqlite3_mprintf("e.\"%w\"", definition->time)
                                  : sqlite3_mprintf("0");
    char *session = definition->session ? sqlite3_mprintf("e.\"%w\"", definition->session)
                                        : sqlite3_mprintf("0");
    Status status = weight && time && session
        ? sql_prepare(definition->id.db, out, err,
              "SELECT e.\"%w\", e.\"%w\", %s, %s, %s FROM \"%w\".\"%w\" AS e%s", definition->user,
              definition->item, weight, time, session, definition->id.schema, definition->events,
              where)
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
    case SQLITE_BLOB:
        text_format(out, size, "a BLOB of %d bytes", sqlite3_column_bytes(row, column));
        return out;
    case SQLITE_TEXT:
        text_format(out, size, "'%.40s'", (const char *)sqlite3_column_text(row, column));
        return out;
    default: text_format(out, size, "%.15g", sqlite3_column_double(row, column)); return out;
    }
}

/* A value of the present row that cannot be used: which, what is allowed, and where to see all of
 * them. */
static Status bad_value(const ModelDefinition *definition, sqlite3_stmt *row, int column,
    const char *name, const char *allowed, Err *err) {
    char value[80];
    return fail(err, ST_BADARG,
        "%s.%s is %s (%s; SELECT * FROM rec_check_events('%s') lists such rows)",
        definition->events, name, shown(row, column, value, sizeof value), allowed,
        definition->id.name);
}

int events_number(sqlite3_stmt *row, int column, double *out) {
    /* one lock, not one for each question */
    sqlite3_value *value = sqlite3_column_value(row, column);
    int kind = sqlite3_value_type(value);
    if (kind == SQLITE_INTEGER || kind == SQLITE_FLOAT)
        return isfinite(*out = sqlite3_value_double(value));
    return kind == SQLITE_TEXT &&
        number_parse((const char *)sqlite3_column_text(row, column),
            (size_t)sqlite3_column_bytes(row, column), out);
}

/* What to write where a number is no time in its unit. */
static Status wrong_unit(const ModelDefinition *definition, const char *table, const char *looks,
    double value, Err *err) {
    if (looks && strncmp(looks, "yyyymmdd", 8) == 0)
        return fail(err, ST_BADARG,
            "%s.%s is %.15g, which looks like %s and is taken as seconds since 1970 (make it a "
            "date text such as '2024-01-31' in a view)",
            table, definition->time, value, looks);
    if (looks)
        return fail(err, ST_BADARG,
            "%s.%s is %.15g, which looks like %s and is taken as seconds since 1970 (give the "
            "model time_unit=%s)",
            table, definition->time, value, looks, looks);
    return fail(err, ST_BADARG,
        "%s.%s is %.15g, which is no time in its unit (time_unit=" TIME_UNITS ")", table,
        definition->time, value);
}

Status events_time(const ModelDefinition *definition, sqlite3_stmt *row, int column,
    const char *table, double *out, Err *err) {
    double number;
    char value[80];
    if (!definition->time) {
        *out = 0;
        return ST_OK;
    }
    if (events_number(row, column, &number)) {
        *out = date_from_number(number, definition->time_unit);
        return date_is_possible(*out)
            ? ST_OK
            : wrong_unit(definition, table,
                  definition->time_unit == TIME_SECONDS ? date_looks_like(number) : NULL, number,
                  err);
    }
    if (sqlite3_column_type(row, column) == SQLITE_TEXT &&
        date_parse((const char *)sqlite3_column_text(row, column),
            (size_t)sqlite3_column_bytes(row, column), out))
        return ST_OK;
    return fail(err, ST_BADARG,
        "%s.%s is %s, which is no time (unix seconds, or a text such as '2024-01-31' or "
        "'2024-01-31 10:00:00'; SELECT * FROM rec_check_events('%s') lists such rows)",
        table, definition->time, shown(row, column, value, sizeof value), definition->id.name);
}

/* weight and time of the present row, checked. */
static Status read_numbers(
    const ModelDefinition *definition, sqlite3_stmt *row, double *weight, double *time, Err *err) {
    if (!events_number(row, COLUMN_WEIGHT, weight) || fabs(*weight) > DATASET_MAX_WEIGHT)
        return bad_value(
            definition, row, COLUMN_WEIGHT, definition->weight, "a number, -1e12..1e12", err);
    return events_time(definition, row, COLUMN_TIME, definition->events, time, err);
}

static const char A_KEY[] =
    "an INTEGER or a TEXT; NULL, a BLOB or a fraction is no key: leave such rows out in a view";

static Status read_row(const ModelDefinition *definition, sqlite3_stmt *row, Key *user, Key *item,
    char *buffer, double *weight, double *time, Err *err) {
    if (!value_key(sqlite3_column_value(row, COLUMN_USER), definition->user_affinity, buffer, user))
        return bad_value(definition, row, COLUMN_USER, definition->user, A_KEY, err);
    if (!value_key(sqlite3_column_value(row, COLUMN_ITEM), definition->item_affinity,
            buffer + KEY_BUFFER, item))
        return bad_value(definition, row, COLUMN_ITEM, definition->item, A_KEY, err);
    return read_numbers(definition, row, weight, time, err);
}

/* The session of the present row. */
static Status read_session(const ModelDefinition *definition, sqlite3_stmt *row,
    char buffer[KEY_BUFFER], Key *out, Err *err) {
    return value_key(sqlite3_column_value(row, COLUMN_SESSION), AFFINITY_NONE, buffer, out)
        ? ST_OK
        : bad_value(definition, row, COLUMN_SESSION, definition->session, A_KEY, err);
}

typedef Status (*RowVisitor)(
    void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err);

/* Every event before until (if has_until); passed_over, if it is given, gets the users of the
 * others. */
static Status visit_all(EventsReader *reader, int has_until, double until, RowVisitor visit,
    Status (*passed_over)(void *, Key, Err *), void *context, Err *err) {
    const ModelDefinition *definition = reader->definition;
    sqlite3_stmt *rows = NULL;
    /* where a time is the number that stands there */
    int unit_to_check = definition->time && definition->time_unit == TIME_SECONDS;
    char buffer[2 * KEY_BUFFER];
    Status status = prepare_events(definition, &rows, "", err);
    reader->rows = 0;
    reader->span = (TimeSpan){0};
    reader->first = INFINITY;
    while (sql_next(definition->id.db, rows, &status, err)) {
        Key user, item;
        double weight, time;
        status = read_row(definition, rows, &user, &item, buffer, &weight, &time, err);
        if (status != ST_OK) break;
        reader->rows++;
        if (reader->max_rows && reader->rows > reader->max_rows) {
            status = fail(err, ST_BADARG, "%s has more than max_rows=%lld events",
                definition->events, (long long)reader->max_rows);
            break;
        }
        if (reader->task && reader->rows % 4096 == 0) {
            atomic_store(&reader->task->done, reader->rows);
            if (task_poll(reader->task)) status = fail(err, ST_CANCELLED, "interrupted");
            if (status != ST_OK) break;
        }
        if (unit_to_check &&
            sqlite3_value_type(sqlite3_column_value(rows, COLUMN_TIME)) != SQLITE_TEXT)
            time_span_add(&reader->span, time);
        reader->first = fmin(reader->first, time);
        if (!(has_until && time >= until))
            status = visit(context, rows, user, item, weight, time, err);
        else if (passed_over) status = passed_over(context, user, err);
    }
    sqlite3_finalize(rows);
    return status;
}

/* Do the times that a pass met make sense together? days_matter: a decay or a moment counts in days
 * or seconds. */
static Status check_times(const EventsReader *reader, int days_matter, Err *err) {
    const ModelDefinition *definition = reader->definition;
    const char *looks = definition->time && definition->time_unit == TIME_SECONDS
        ? time_span_suspect(&reader->span, days_matter)
        : NULL;
    return looks ? wrong_unit(definition, definition->events, looks, reader->span.most, err)
                 : ST_OK;
}

typedef struct Training {
    const ModelDefinition *definition;
    Dataset *data;
    int has_sessions;
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
static Status add_event(
    void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    const Training *training = context;
    char buffer[KEY_BUFFER];
    Key session;
    Bytes both = {0};
    if (!training->has_sessions) return dataset_add(training->data, user, item, weight, time, err);
    TRY(read_session(training->definition, row, buffer, &session, err));
    append_key(&both, user);
    append_key(&both, session);
    bytes_format(&both, "%zx", user.len); /* whatever is in the texts, no two pairs are the same */
    Status status = both.failed
        ? fail_nomem(err, "a session")
        : dataset_add(training->data, (Key){.text = (const char *)both.data, .len = both.len}, item,
              weight, time, err);
    bytes_clear(&both);
    return status;
}

Status events_read_all(EventsReader *reader, const ModelDefinition *definition, int has_until,
    double until, Dataset *data, Err *err) {
    Training training = {
        definition, data, has_sessions(definition, definition->algorithm, &definition->params)};
    TRY(visit_all(reader, has_until, until, add_event, NULL, &training, err));
    TRY(check_times(reader, has_until || definition->common.half_life > 0, err));
    if (has_until && reader->rows && !data->n_events)
        return fail(err, ST_BADARG,
            "no event of %s is before until=%.15g (unix seconds); the first is at %.15g",
            reader->definition->events, until, reader->first);
    return ST_OK;
}

static Status add_to_set(
    void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    (void)row;
    return event_set_add(context, user, item, weight, time, err);
}

Status events_read_set(EventsReader *reader, int has_until, double until, EventSet *set, Err *err) {
    TRY(visit_all(reader, has_until, until, add_to_set, NULL, set, err));
    return check_times(reader, has_until, err);
}

/* Events of users on their way into histories. */
typedef struct HistoryReading {
    const ModelDefinition *definition;
    const Model *model;
    const HistoryRules *rules;
    KeyMap *users; /* of everybody */
    EventList list;
    int has_sessions;
} HistoryReading;

static HistoryReading reading_of(
    const EventsReader *reader, const Model *model, const HistoryRules *rules, KeyMap *users) {
    return (HistoryReading){.definition = reader->definition,
        .model = model,
        .rules = rules,
        .users = users,
        .has_sessions = has_sessions(reader->definition, model->algorithm, &model->params)};
}

static Status keep_event(HistoryReading *reading, sqlite3_stmt *row, Event event, Err *err) {
    char buffer[KEY_BUFFER];
    Key session;
    if (!reading->has_sessions) return event_list_add(&reading->list, event, NULL, err);
    TRY(read_session(reading->definition, row, buffer, &session, err));
    return event_list_add(&reading->list, event, &session, err);
}

/* The rows of one_user, all of them as user's. */
static Status read_one_user(EventsReader *reader, HistoryReading *reading, int32_t user, Err *err) {
    const ModelDefinition *definition = reader->definition;
    const HistoryRules *rules = reading->rules;
    char buffer[2 * KEY_BUFFER];
    Status status = ST_OK;
    while (sql_next(definition->id.db, reader->one_user, &status, err)) {
        Key key, item;
        double weight, time;
        status = read_row(definition, reader->one_user, &key, &item, buffer, &weight, &time, err);
        int32_t id = status == ST_OK ? history_item(reading->model, rules, item) : -1;
        if (id < 0 || (rules->has_until && time >= rules->until)) continue;
        status = keep_event(reading, reader->one_user, (Event){user, id, weight, time}, err);
    }
    sqlite3_reset(reader->one_user);
    sqlite3_clear_bindings(reader->one_user);
    return status;
}

/* The events of a user, ?1. Keys are bytes: a column's own collation may call several equal (the
 * first condition, which an index serves). */
static Status prepare_one_user(EventsReader *reader, Err *err) {
    const ModelDefinition *definition = reader->definition;
    if (reader->one_user) return ST_OK;
    char *where = sqlite3_mprintf(
        " WHERE e.\"%w\"=?1 AND e.\"%w\"=?1 COLLATE BINARY", definition->user, definition->user);
    Status status = where ? prepare_events(definition, &reader->one_user, where, err)
                          : fail_nomem(err, "SQL");
    sqlite3_free(where);
    return status;
}

Status events_read_user_list(EventsReader *reader, const Model *model, const HistoryRules *rules,
    sqlite3_value *user, EventList *out, Err *err) {
    HistoryReading reading = reading_of(reader, model, rules, NULL);
    Status status = prepare_one_user(reader, err);
    if (status == ST_OK) {
        sqlite3_bind_value(reader->one_user, 1, user);
        status = read_one_user(reader, &reading, 0, err);
    }
    *out = reading.list;
    return status;
}

Status events_read_user(EventsReader *reader, const Model *model, const HistoryRules *rules,
    sqlite3_value *user, OwnedHistory *out, Err *err) {
    EventList list;
    out->history.n = 0;
    Status status = events_read_user_list(reader, model, rules, user, &list, err);
    if (status == ST_OK) status = history_of_events(&list, rules, out, err);
    event_list_clear(&list);
    return status;
}

static Status keep_everybodys(
    void *context, sqlite3_stmt *row, Key user, Key item, double weight, double time, Err *err) {
    HistoryReading *reading = context;
    int32_t id;
    TRY(keymap_add(reading->users, user, &id, err));
    int32_t known = history_item(reading->model, reading->rules, item);
    return known < 0 ? ST_OK : keep_event(reading, row, (Event){id, known, weight, time}, err);
}

/* A user whose events are all later is a user. */
static Status keep_user_alone(void *context, Key user, Err *err) {
    HistoryReading *reading = context;
    int32_t id;
    return keymap_add(reading->users, user, &id, err);
}

/* What was read, if that went well (status); reading is cleared. */
static Status finish_reading(HistoryReading *reading, Status status, AllHistories *out, Err *err) {
    *out = (AllHistories){0};
    if (status == ST_OK)
        status = all_histories_of_events(
            &reading->list, reading->users, reading->model->n_items, reading->rules, out, err);
    else keymap_free(reading->users);
    event_list_clear(&reading->list);
    return status;
}

Status events_read_histories(EventsReader *reader, const Model *model, const HistoryRules *rules,
    AllHistories *out, Err *err) {
    HistoryReading reading = reading_of(reader, model, rules, keymap_new());
    Status status = reading.users ? visit_all(reader, rules->has_until, rules->until,
                                        keep_everybodys, keep_user_alone, &reading, err)
                                  : fail_nomem(err, "the users");
    return finish_reading(&reading, status, out, err);
}

/* The keys of the first n users among the first events. */
static Status first_users(const EventsReader *reader, int32_t n, KeyMap *out, Err *err) {
    const ModelDefinition *definition = reader->definition;
    sqlite3_stmt *rows;
    char buffer[KEY_BUFFER];
    TRY(prepare_events(definition, &rows, " LIMIT 1000", err));
    Status status = ST_OK;
    while (keymap_count(out) < n && sql_next(definition->id.db, rows, &status, err)) {
        Key user;
        int32_t id;
        if (value_key(
                sqlite3_column_value(rows, COLUMN_USER), definition->user_affinity, buffer, &user))
            status = keymap_add(out, user, &id, err);
    }
    sqlite3_finalize(rows);
    return status;
}

/* All events of the users that are there. */
static Status read_users(EventsReader *reader, HistoryReading *reading, Err *err) {
    Status status = prepare_one_user(reader, err);
    for (int32_t u = 0; u < keymap_count(reading->users) && status == ST_OK; u++) {
        Key user = keymap_key(reading->users, u);
        if (user.text)
            sqlite3_bind_text64(
                reader->one_user, 1, user.text, user.len, SQLITE_TRANSIENT, SQLITE_UTF8);
        else sqlite3_bind_int64(reader->one_user, 1, user.integer);
        status = read_one_user(reader, reading, u, err);
    }
    return status;
}

Status events_read_first_users(EventsReader *reader, const Model *model, const HistoryRules *rules,
    int32_t n_users, AllHistories *out, Err *err) {
    HistoryReading reading = reading_of(reader, model, rules, keymap_new());
    Status status = reading.users ? first_users(reader, n_users, reading.users, err)
                                  : fail_nomem(err, "the users");
    if (status == ST_OK) status = read_users(reader, &reading, err);
    return finish_reading(&reading, status, out, err);
}

Status events_access(const ModelDefinition *definition, const char **out, Err *err) {
    sqlite3_stmt *statement;
    int scan = 0;
    TRY(sql_prepare(definition->id.db, &statement, err,
        "EXPLAIN QUERY PLAN SELECT e.\"%w\" FROM \"%w\".\"%w\" AS e WHERE e.\"%w\"=?1",
        definition->item, definition->id.schema, definition->events, definition->user));
    Status status = ST_OK;
    while (sql_next(definition->id.db, statement, &status, err)) {
        const char *detail = (const char *)sqlite3_column_text(statement, 3);
        scan |= detail && strncmp(detail, "SCAN", 4) == 0;
    }
    sqlite3_finalize(statement);
    *out = scan ? "scan" : "index";
    return status;
}
