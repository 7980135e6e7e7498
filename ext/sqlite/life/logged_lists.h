/* Lists of the log, read whole: what an off-policy estimate goes over twice. */
#ifndef REC_LOGGED_LISTS_H
#define REC_LOGGED_LISTS_H

#include "log_scope.h"

/* An item at its place. */
typedef struct LoggedRow {
    int32_t item;  /* in items */
    int32_t place; /* from 0 */
    double reward, propensity;
} LoggedRow;

typedef struct LoggedList {
    int32_t user;  /* in users; the lists of a user follow one another */
    int64_t first; /* its rows are row[first] up to the next list's */
    double at;     /* unix seconds */
} LoggedList;

typedef struct LoggedLists {
    KeyMap *users, *items;
    LoggedRow *row;
    LoggedList *list; /* n_lists + 1, the last one for its first */
    int64_t n_rows, row_capacity, n_lists, list_capacity;
    int32_t n_places;
    int64_t left_out; /* lists without a user, or without every propensity */
} LoggedLists;
void logged_lists_clear(LoggedLists *lists);

/* *out is empty at first, and to be cleared also after an error. sums: a row earns the sum of its
 * outcomes' values, else 1 for any. */
Status logged_lists_read(
    LoggedLists *out, const Versioned *versioned, const LogScope *scope, int sums, Err *err);

#endif
