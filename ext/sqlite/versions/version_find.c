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

Status version_user_affinity(const Versioned *versioned, Affinity *out, Err *err) {
    sqlite3_stmt *row;
    int has_row;
    *out = AFFINITY_NONE;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT value FROM \"%w\".\"%w_config\" WHERE key='user_type'", versioned->schema,
        versioned->name));
    Status status = sql_step(versioned->db, row, &has_row, err);
    const char *type = status == ST_OK && has_row ? (const char *)sqlite3_column_text(row, 0)
                                                  : NULL;
    if (type) *out = affinity_of(type);
    sqlite3_finalize(row);
    return status;
}
