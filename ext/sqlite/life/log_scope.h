/* Which lists of the log a report is about, and which outcome credits a row. */
#ifndef REC_LOG_SCOPE_H
#define REC_LOG_SCOPE_H

#include "../../base/options.h"
#include "../../serve/route.h"
#include "../host/sql.h"
#include "../versions/versioned.h"

typedef struct LogScope {
    char kind[ROUTE_NAME];
    char scenario[ROUTE_NAME]; /* "": every one */
    double from, until;        /* unix seconds: from <= at < until */
} LogScope;

/* Options of every such report; the target's struct is a LogScope. */
extern const OptSpec log_scope_options[];

/* Both tables of options from an argument that may be NULL or absent. own: may be NULL. */
Status log_scope_read(LogScope *out, sqlite3_value *options, const OptTarget *own, Err *err);

/* Is there a log? */
Status log_is_there(const Versioned *versioned, int *out, Err *err);

/* Bind ?1 kind, ?2 from, ?3 until, ?4 scenario, which is NULL for every one. */
void log_scope_bind(sqlite3_stmt *statement, const LogScope *scope);

/* SQL of a condition on m_lists l with those parameters. */
#define LOG_SCOPE_LISTS "l.at>=?2 AND l.at<?3 AND (?4 IS NULL OR l.scenario=?4)"

/* What is credited, as the table c: list, item and the sum of values, of outcomes that name both.
 * In sql_prepare's form: takes schema and name. */
#define LOG_CREDITS \
    "c AS MATERIALIZED (SELECT list, item, total(value) AS value FROM \"%w\".\"%w_outcomes\" " \
    "WHERE kind=?1 AND list IS NOT NULL AND item IS NOT NULL GROUP BY list, item)"

#endif
