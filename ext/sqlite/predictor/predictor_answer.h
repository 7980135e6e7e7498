/* Which version of a predictor answers: the one that is named, the arm's where an experiment runs
 * and the row's id is known, else the active one; and where that does not load, the last good
 * one. */
#ifndef REC_PREDICTOR_ANSWER_H
#define REC_PREDICTOR_ANSWER_H

#include "predictor_table.h"

typedef struct HeldVersion {
    sqlite3_int64 version; /* 0: not loaded yet */
    Predictor *predictor;  /* a reference into the cache */
    Asker *asker;
    Cell *cell;     /* room for a row of cells: n_columns */
    int32_t *place; /* n_columns: where a column stands in the source; the asker's to fill */
    char arm[ROUTE_NAME];
} HeldVersion;

typedef struct AnswerOptions {
    char version[ROUTE_NAME]; /* a number or an alias; "": as it is live */
    double coverage;          /* of low .. high */
} AnswerOptions;
extern const OptSpec answer_options[];

/* The reference becomes held's, also after an error; it is to be cleared. */
Status held_open(HeldVersion *held, Predictor *predictor, Err *err);
void held_clear(HeldVersion *held);

/* The version that a user names (a number or an alias; "": the active one) of a predictor by its
 * name, as a reference. */
Status predictor_of_version(
    sqlite3 *db, sqlite3_value *name, const char *version, Predictor **out, Err *err);

/* The same of the argument `options` of a table: NULL, absent, or JSON with its `version`. */
Status predictor_of_options(
    sqlite3 *db, sqlite3_value *name, sqlite3_value *options, Predictor **out, Err *err);

/* What answers one statement. */
typedef struct Answers {
    PredictorTable *table; /* a reference */
    AnswerOptions options;
    Experiment experiment; /* as it is at its beginning */
    double now;
    HeldVersion held[1 + ROUTE_MAX_ARMS]; /* the first: of those whom no arm has */
    VersionName name;
} Answers;

/* The table's reference becomes the answers'. *out is to be closed, also after an error. */
Status answers_open(Answers *out, PredictorTable *table, const AnswerOptions *options, Err *err);
/* unit: who asks, or NULL. *out is loaded. */
Status answers_for(Answers *answers, const Key *unit, HeldVersion **out, Err *err);
void answers_close(Answers *answers);

/* A prediction as SQL has it: a class's label, a segment's number, coordinates as a vector, else
 * the number. */
void result_prediction(
    sqlite3_context *context, const Predictor *predictor, const Prediction *prediction);
/* {"class": probability, ...} */
void probabilities_json(const Predictor *predictor, const Prediction *prediction, Bytes *out);

/* A value of SQL as a cell, whose bytes are the value's. */
Cell cell_of_value(sqlite3_value *value);

#endif
