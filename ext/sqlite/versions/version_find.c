#include "version_find.h"

Status version_find(Versioned *out, sqlite3 *db, const char *name, Err *err) {
    *out = (Versioned){.db = db};
    if (!name) return fail(err, ST_BADARG, "the model's name is NULL");
    TRY(schema_find_table(db, "rec_model", name, "_deployments", &out->schema, &out->name, err));
    ShadowOwner owner = {db, out->schema, out->name, out};
    Status status = shadow_check(&version_shadow, &owner, err);
    if (status == ST_OK) status = shadow_check_format(&version_shadow, &owner, err);
    if (status != ST_OK) version_found_clear(out);
    return status;
}

void version_found_clear(Versioned *versioned) {
    sqlite3_free(versioned->schema);
    sqlite3_free(versioned->name);
    versioned->schema = versioned->name = NULL;
}

Status version_key_kinds(const Versioned *versioned, KeyKinds *out, Err *err) {
    sqlite3_stmt *rows;
    *out = (KeyKinds){AFFINITY_NONE, AFFINITY_NONE};
    TRY(sql_prepare(versioned->db, &rows, err,
        "SELECT key='user_type', value FROM \"%w\".\"%w_config\" WHERE key IN ('user_type', "
        "'item_type')",
        versioned->schema, versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err)) {
        const char *type = (const char *)sqlite3_column_text(rows, 1);
        if (!type) continue;
        if (sqlite3_column_int(rows, 0)) out->user = affinity_of(type);
        else out->item = affinity_of(type);
    }
    sqlite3_finalize(rows);
    return status;
}
