/* The counters (serve/counters.h) of a virtual table. */
#ifndef REC_COUNTING_H
#define REC_COUNTING_H

#include "../../serve/counters.h"
#include "sql.h"

/* The database's name in counters: of its file, without the path. buffer: ROUTE_NAME bytes. */
const char *counting_database(sqlite3 *db, const char *schema, char *buffer);

/* The table's block, made by its first request; NULL where there is no memory. */
CounterBlock *counting_block(
    CounterBlock **block, sqlite3 *db, const char *schema, const char *name);

#endif
