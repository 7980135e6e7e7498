/* Rows of a table or view as examples. */
#ifndef REC_PREDICTOR_EXAMPLES_H
#define REC_PREDICTOR_EXAMPLES_H

#include "predictor_definition.h"

typedef struct ExamplesRead {
    Columns columns;
    ExampleRoles roles;
} ExamplesRead;
void examples_read_clear(ExamplesRead *examples);

/* All rows of the definition's examples. until: of those with an earlier time alone; INFINITY: all.
 * max_rows: more are an error; 0: no limit. *out is to be cleared, also after an error. */
Status examples_read(const PredictorDefinition *definition, double until, int64_t max_rows,
    Task *task, ExamplesRead *out, Err *err);

/* The rows of a source, as a statement. NULL: of the examples, which are of the definition's
 * schema; else of a table or view of it, or of the one that the name gives ("temp.visits").
 * *has_id: those with this id alone (bound as parameter 1); becomes 0 where there is no such
 * column. */
Status source_open(const PredictorDefinition *definition, const char *source, int *has_id,
    sqlite3_stmt **out, Err *err);
/* A column of a statement by its name, -1 for none. */
int source_column(sqlite3_stmt *rows, const char *name);
Cell source_cell(sqlite3_stmt *rows, int column);

#endif
