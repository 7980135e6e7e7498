/* What we keep of a user, erased or handed over: the log of lists and outcomes. What a model keeps
 * of her is its own (model/model_forget.c). */
#ifndef REC_FORGET_H
#define REC_FORGET_H

#include "../host/row_table.h"
#include "../versions/version_commands.h"

/* Her lists, what was shown in them, and her outcomes; *rows: how many are gone. O(log). */
Status log_forget(const Versioned *versioned, Key user, sqlite3_int64 *rows, Err *err);
/* How many are there: lists, outcomes; 0 where there is no log. */
typedef struct LogCounts {
    sqlite3_int64 lists, outcomes;
} LogCounts;
Status log_count(const Versioned *versioned, Key user, LogCounts *out, Err *err);
/* Rows (source, row as JSON) of all that the log has of her. */
Status log_export(const Versioned *versioned, Key user, RowSink *sink, Err *err);

/* arg: {"days": n} or {"before": time}: what is older goes from the log and from m_stats. */
Status command_retain(const CommandCall *call, Err *err);

#endif
