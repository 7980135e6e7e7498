/* Reading the behaviour table: one user's live history, or everything. */
#ifndef REC_MODEL_EVENTS_H
#define REC_MODEL_EVENTS_H

#include "../../eval/trial.h"
#include "../../models/histories.h"
#include "model_definition.h"

/* Statements over the events, and what the last pass over all of them met. */
typedef struct EventsReader {
    const ModelDefinition *definition;
    sqlite3_stmt *one_user;
    int64_t max_rows; /* more are an error; 0: no limit */
    Task *task;       /* counts the events that are read and may stop the reading; or NULL */
    int64_t rows;
    TimeSpan span; /* of times that are numbers of seconds */
    double first;  /* time of the earliest event */
} EventsReader;

void events_reader_clear(EventsReader *reader);

/* One user's history. */
Status events_read_user(EventsReader *reader, const Model *model, const HistoryRules *rules,
    sqlite3_value *user, OwnedHistory *out, Err *err);

/* Her events, as they stand in the table: those that the rules take. */
Status events_read_user_list(EventsReader *reader, const Model *model, const HistoryRules *rules,
    sqlite3_value *user, EventList *out, Err *err);

/* All events before until (if has_until) into a dataset, not yet finished. definition: the
 * reader's, or a copy with another algorithm. */
Status events_read_all(EventsReader *reader, const ModelDefinition *definition, int has_until,
    double until, Dataset *data, Err *err);

/* The same into a set of their own ids. */
Status events_read_set(EventsReader *reader, int has_until, double until, EventSet *set, Err *err);

/* Everybody's. */
Status events_read_histories(EventsReader *reader, const Model *model, const HistoryRules *rules,
    AllHistories *out, Err *err);

/* A finite number, or a text that is one, in a column of a statement. Returns 0 for anything
 * else. */
int events_number(sqlite3_stmt *row, int column, double *out);

/* The time in a column of a statement, a number in the model's unit or a date text, as unix
 * seconds. table: for the error. */
Status events_time(const ModelDefinition *definition, sqlite3_stmt *row, int column,
    const char *table, double *out, Err *err);

/* The same of few users: those who come first in the table. */
Status events_read_first_users(EventsReader *reader, const Model *model, const HistoryRules *rules,
    int32_t n_users, AllHistories *out, Err *err);

/* How a user's events are found: "index" or "scan", a string constant. */
Status events_access(const ModelDefinition *definition, const char **out, Err *err);

#endif
