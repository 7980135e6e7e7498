#include "counting.h"

#include <string.h>

const char *counting_database(sqlite3 *db, const char *schema, char *buffer) {
    const char *path = sqlite3_db_filename(db, schema);
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    return sqlite3_snprintf(ROUTE_NAME, buffer, "%s", name && *name ? name : ":memory:");
}

CounterBlock *counting_block(
    CounterBlock **block, sqlite3 *db, const char *schema, const char *name) {
    char buffer[ROUTE_NAME];
    if (!*block) *block = counters_open(counting_database(db, schema, buffer), name);
    return *block;
}
