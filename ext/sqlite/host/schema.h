/* What a database holds: its file, tables by name, columns. */
#ifndef REC_SCHEMA_H
#define REC_SCHEMA_H

#include "sql.h"

/* Which file holds the schema: device and inode, or the connection for what has no file. 24
 * bytes. */
typedef struct FileId {
    sqlite3_uint64 part[3];
} FileId;
FileId schema_file_id(sqlite3 *db, const char *schema);

/* Has the table or view this column? By name in any case. */
Status schema_has_column(
    sqlite3 *db, const char *schema, const char *table, const char *column, int *out, Err *err);

/* The declared type of a column, "" where there is none, sqlite3_malloc'ed; an error where there is
 * no such column. */
Status schema_column_type(
    sqlite3 *db, const char *schema, const char *table, const char *column, char **out, Err *err);

/* The schema that holds table `name<suffix>`: "schema.name" picks one, else temp, main, attached in
 * SQLite's order. Both outputs are sqlite3_malloc'ed. */
Status schema_find_table(sqlite3 *db, const char *what, const char *name, const char *suffix,
    char **out_schema, char **out_name, Err *err);

/* Call visit for every virtual table of a module that has its shadow table name<suffix>, in all
 * schemas: temp, main, attached; by name. module: its name, or how it begins. */
typedef Status (*SchemaVisit)(void *context, const char *schema, const char *name, Err *err);
Status schema_each_table(sqlite3 *db, const char *module, const char *suffix, SchemaVisit visit,
    void *context, Err *err);

#endif
