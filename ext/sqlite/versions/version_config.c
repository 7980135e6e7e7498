#include "version_config.h"

Status config_save(const Versioned *versioned, const char *key, const char *value, Err *err) {
    return sql_execute(versioned->db, err,
        "INSERT INTO \"%w\".\"%w_config\"(key, value) VALUES(%Q, %Q)", versioned->schema,
        versioned->name, key, value);
}

Status config_save_arguments(const Versioned *versioned, const Arguments *arguments, Err *err) {
    for (int i = 0; i < arguments->n; i++)
        TRY(config_save(versioned, arguments->key[i], arguments->value[i], err));
    return ST_OK;
}

Status config_load(const Versioned *versioned, Arguments *out, Err *err) {
    sqlite3_stmt *rows;
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    *out = (Arguments){0};
    TRY(shadow_check(&version_shadow, &owner, err));
    TRY(shadow_check_format(&version_shadow, &owner, err));
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT key, value FROM \"%w\".\"%w_config\" WHERE key<>'live'", versioned->schema,
        versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        if (out->n == MAX_ARGUMENTS) {
            status = fail(err, ST_CORRUPT, "%s_config has too many rows", versioned->name);
            break;
        }
        out->key[out->n] = sqlite3_mprintf("%s", sqlite3_column_text(rows, 0));
        out->value[out->n] = sqlite3_mprintf("%s", sqlite3_column_text(rows, 1));
        if (!out->key[out->n] || !out->value[out->n]) status = fail_nomem(err, "the arguments");
        out->n++;
    }
    sqlite3_finalize(rows);
    return status;
}
