/* privacy-budget, release, rec_released, rec_ledger.
 *
 * A release is a vector of whole numbers, one for each key that the caller names, from what users
 * did: each user adds to at most per_user keys, the first in key order, at most cap / unit to each.
 * So one user changes it by at most sqrt(per_user) cap / unit in the Euclidean norm, and discrete
 * Gaussian noise gives rho (metrics/private_noise.h). The ledger's row is written in the same
 * transaction, and a release that would overspend is refused before anything is looked at.
 *
 * Who may read the model's events and log needs no release: it is for numbers that leave the
 * house. */
#include "privacy.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/memory.h"
#include "../../base/options.h"
#include "../../metrics/private_noise.h"
#include "../host/chance.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "../versions/version_find.h"
#include "log_scope.h"
#include "shown_log.h"

enum { OF_OUTCOMES, OF_LISTS };

typedef struct ReleaseOptions {
    LogScope scope; /* kind, scenario, from, until */
    char name[ROUTE_NAME];
    int64_t of, sums, per_user;
    double rho, cap, unit;
} ReleaseOptions;

static const OptSpec release_options[] = {
    {"name", OPT_TEXT, offsetof(ReleaseOptions, name), 0, ROUTE_NAME, 0, "", "of the release"},
    {"of", OPT_CHOICE, offsetof(ReleaseOptions, of), 0, 0, 0, "outcomes|lists",
        "outcomes of the kind, or lists shown"},
    {"sum", OPT_FLAG, offsetof(ReleaseOptions, sums), 0, 0, 0, NULL,
        "outcomes: the sum of their values instead of how many"},
    {"rho", OPT_REAL, offsetof(ReleaseOptions, rho), 1e-6, 100, .1, NULL, "what it costs"},
    {"per_user", OPT_INT, offsetof(ReleaseOptions, per_user), 1, 1000, 1, NULL,
        "keys that a user may add to, the first in key order"},
    {"cap", OPT_REAL, offsetof(ReleaseOptions, cap), 1e-9, 1e9, 1, NULL,
        "the most that a user adds to a key"},
    {"unit", OPT_REAL, offsetof(ReleaseOptions, unit), 1e-9, 1e9, 1, NULL,
        "numbers are multiples of it"},
    {0},
};

/* ---- releases that are not committed yet ---- */

/* Connections that have some: who reads one and rolls back would have it for nothing, even within a
 * statement of its own. */
typedef struct Unsettled {
    sqlite3 *db;
    struct Unsettled *next;
} Unsettled;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Unsettled *unsettled;

static void lock(void) { pthread_mutex_lock(&mutex); }

static void unlock(void) { pthread_mutex_unlock(&mutex); }

static void initialise(void) { pthread_atfork(lock, unlock, unlock); }

static Status note_unsettled(sqlite3 *db, Err *err) {
    Unsettled *own = mem_array(1, sizeof *own);
    if (!own) return fail_nomem(err, "a release");
    pthread_once(&once, initialise);
    lock();
    *own = (Unsettled){db, unsettled};
    unsettled = own;
    unlock();
    return ST_OK;
}

void privacy_settled(sqlite3 *db) {
    Unsettled *gone = NULL;
    pthread_once(&once, initialise);
    lock();
    for (Unsettled **link = &unsettled; *link;) {
        Unsettled *own = *link;
        if (own->db != db) {
            link = &own->next;
            continue;
        }
        *link = own->next;
        own->next = gone;
        gone = own;
    }
    unlock();
    while (gone) {
        Unsettled *next = gone->next;
        mem_free(gone);
        gone = next;
    }
}

static int is_unsettled(sqlite3 *db) {
    int found = 0;
    pthread_once(&once, initialise);
    lock();
    for (const Unsettled *own = unsettled; own; own = own->next) found |= own->db == db;
    unlock();
    return found;
}

/* ---- the ledger ---- */

/* The row of id 0 is the budget. */
static Status read_ledger(
    const Versioned *versioned, int *has_budget, double *budget, double *spent, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    sqlite3_stmt *row;
    int found, has_row;
    *budget = *spent = 0;
    *has_budget = 0;
    TRY(shadow_has(&version_shadow, &owner, "ledger", &found, err));
    if (!found) return ST_OK;
    TRY(sql_prepare(versioned->db, &row, err,
        "SELECT total(rho) FILTER (WHERE id=0), total(rho) FILTER (WHERE id<>0), count(*) FILTER "
        "(WHERE "
        "id=0) FROM "
        "\"%w\".\"%w_ledger\"",
        versioned->schema, versioned->name));
    Status status = sql_step(versioned->db, row, &has_row, err);
    if (status == ST_OK) {
        *budget = sqlite3_column_double(row, 0);
        *spent = sqlite3_column_double(row, 1);
        *has_budget = sqlite3_column_int(row, 2);
    }
    sqlite3_finalize(row);
    return status;
}

typedef struct BudgetOptions {
    double rho;
} BudgetOptions;
static const OptSpec budget_options[] = {
    {"rho", OPT_REAL, offsetof(BudgetOptions, rho), 0, 100, NAN, NULL, "of all releases together"},
    {0},
};

Status command_privacy_budget(const CommandCall *call, Err *err) {
    const Versioned *versioned = ((const VersionedTable *)call->table)->id;
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    BudgetOptions options;
    OptTarget target = {budget_options, &options};
    double budget, spent;
    int has_budget;
    TRY(value_options(&target, 1, call->arg, err));
    if (isnan(options.rho)) return fail(err, ST_BADARG, "privacy-budget: give rho");
    TRY(read_ledger(versioned, &has_budget, &budget, &spent, err));
    if (has_budget && options.rho > budget)
        return fail(err, ST_BADARG, "privacy-budget: it is %g, and is never raised", budget);
    if (options.rho < spent)
        return fail(err, ST_BADARG, "privacy-budget: %g is spent already", spent);
    TRY(shadow_ensure(&version_shadow, &owner, "ledger", err));
    sqlite3_stmt *statement;
    TRY(sql_prepare(versioned->db, &statement, err,
        "REPLACE INTO \"%w\".\"%w_ledger\"(id, at, name, rho) VALUES(0, ?1, 'budget', ?2)",
        versioned->schema, versioned->name));
    sqlite3_bind_double(statement, 1, live_clock());
    sqlite3_bind_double(statement, 2, options.rho);
    return sql_finish(versioned->db, statement, err);
}

/* ---- a release ---- */

typedef struct Release {
    const Versioned *versioned;
    ReleaseOptions options;
    json_t *keys;       /* the argument's array, or NULL: one number */
    char *keys_json;    /* in the kind of the item column */
    uint64_t numerator; /* of the noise */
    double rho;         /* that it really costs */
    sqlite3_int64 id;
} Release;

/* A number that is told twice is told with half the noise. */
static Status refuse_twice(const KeyList *list, Err *err) {
    KeyMap *keys = keymap_new();
    int32_t id;
    Status status = keys ? ST_OK : fail_nomem(err, "the keys");
    for (size_t i = 0; status == ST_OK && i < list->n; i++) {
        status = keymap_add(keys, list->key[i], &id, err);
        if (status == ST_OK && id != (int32_t)i)
            status = fail(err, ST_BADARG, "release: a key is there twice");
    }
    keymap_free(keys);
    return status;
}

/* Keys as the log has them. */
static Status convert_keys(Release *release, Err *err) {
    KeyKinds kinds;
    Bytes out = {0};
    KeyList list = {0};
    if (!json_is_array(release->keys)) return fail(err, ST_BADARG, "release: keys is an array");
    char *text = json_dumps(release->keys, JSON_COMPACT);
    if (!text) return fail_nomem(err, "the keys");
    Status status = version_key_kinds(release->versioned, &kinds, err);
    if (status == ST_OK) status = key_list_parse(&list, "keys", text, kinds.item, err);
    free(text);
    if (status == ST_OK && !list.n) status = fail(err, ST_BADARG, "release: keys is empty");
    if (status == ST_OK) status = refuse_twice(&list, err);
    for (size_t i = 0; status == ST_OK && i < list.n; i++) {
        bytes_append(&out, i ? "," : "[", 1);
        key_json(list.key[i], &out);
    }
    bytes_append(&out, "]", 2);
    key_list_clear(&list);
    if (status == ST_OK && (out.failed || !(release->keys_json = sqlite3_mprintf("%s", out.data))))
        status = fail_nomem(err, "the keys");
    bytes_clear(&out);
    return status;
}

static Status read_release(Release *release, const CommandCall *call, Err *err) {
    json_error_t json_error;
    const char *text = value_text(call->arg);
    json_t *root = text ? json_loads(text, 0, &json_error) : NULL;
    if (!json_is_object(root)) {
        json_decref(root);
        return fail(err, ST_BADARG, "release: arg must be a JSON object");
    }
    OptTarget target[] = {
        {release_options, &release->options}, {log_scope_options, &release->options.scope}};
    release->keys = json_incref(json_object_get(root, "keys"));
    json_object_del(root, "keys");
    char *rest = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!rest) return fail_nomem(err, "the options");
    options_default(release_options, &release->options);
    options_default(log_scope_options, &release->options.scope);
    Status status = options_set_json(target, 2, rest, err);
    free(rest);
    if (status == ST_OK) status = live_check_name("release: name", release->options.name, err);
    if (status == ST_OK && release->keys && release->options.of == OF_LISTS)
        status = fail(err, ST_BADARG, "release: lists have no keys");
    if (status == ST_OK && *release->options.scope.scenario && release->options.of == OF_OUTCOMES)
        status = fail(err, ST_BADARG, "release: outcomes have no scenario");
    if (status == ST_OK && release->options.cap < release->options.unit)
        status = fail(err, ST_BADARG, "release: cap is below unit");
    return status == ST_OK && release->keys ? convert_keys(release, err) : status;
}

/* .3 is three times .1, whatever binary fractions say. */
static double steps_of(const ReleaseOptions *options) {
    return floor(options->cap / options->unit * (1 + 1e-12));
}

/* The noise, and whether the budget has room for it. */
static Status price(Release *release, Err *err) {
    const ReleaseOptions *options = &release->options;
    double steps = steps_of(options), budget, spent,
           norm2 = (release->keys ? (double)options->per_user : 1) * steps * steps;
    release->numerator = noise_numerator(norm2, options->rho);
    if (!release->numerator)
        return fail(err, ST_BADARG, "release: cap is too many units for that rho");
    release->rho = noise_rho(norm2, release->numerator);
    int has_budget;
    TRY(read_ledger(release->versioned, &has_budget, &budget, &spent, err));
    if (spent + release->rho > budget * (1 + 1e-12))
        return fail(err, ST_BADARG, "release: rho=%g, but of the budget of %g %g is left",
            options->rho, budget, fmax(0, budget - spent));
    return ST_OK;
}

/* key, whole number: what users did, bounded. ?1 to ?4: the log's scope; ?5: keys or NULL; ?6 unit,
 * ?7 steps, ?8 per_user. */
static Status prepare_sums(Release *release, sqlite3_stmt **out, Err *err) {
    const ReleaseOptions *options = &release->options;
    const Versioned *versioned = release->versioned;
    const char *value = options->of == OF_OUTCOMES && options->sums ? "total(x.value)" : "count(*)";
    const char *from = options->of == OF_LISTS ? "lists" : "outcomes";
    const char *where = options->of == OF_LISTS
        ? "?1 IS NOT NULL AND (?4 IS NULL OR x.scenario=?4)"
        : "x.kind=?1 AND ?4 IS NULL AND (?5 IS NULL OR x.item IN (SELECT value FROM "
          "json_each(?5)))";
    TRY(sql_prepare(versioned->db, out, err,
        "WITH u AS (SELECT x.user, %s AS key, CAST(min(?7, max(0, %s/?6*(1+1e-12))) AS INTEGER) AS "
        "n FROM "
        "\"%w\".\"%w_%s\" x WHERE x.user IS NOT NULL AND x.at>=?2 AND x.at<?3 AND %s GROUP BY 1, "
        "2), b AS (SELECT key, n FROM (SELECT key, n, row_number() OVER (PARTITION BY user ORDER "
        "BY key) AS place FROM u) WHERE place<=?8) SELECT k.value, (SELECT coalesce(sum(n), 0) "
        "FROM b WHERE b.key IS k.value) FROM json_each(coalesce(?5, '[null]')) k",
        release->keys ? "x.item" : "NULL", value, versioned->schema, versioned->name, from, where));
    log_scope_bind(*out, &options->scope);
    sqlite3_bind_text(*out, 5, release->keys_json, -1, SQLITE_STATIC);
    sqlite3_bind_double(*out, 6, options->unit);
    sqlite3_bind_double(*out, 7, steps_of(options));
    sqlite3_bind_int64(*out, 8, release->keys ? options->per_user : 1);
    return ST_OK;
}

static Status insert_values(Release *release, Err *err) {
    const Versioned *versioned = release->versioned;
    Chance chance;
    TRY(chance_begin(&chance, err));
    sqlite3_stmt *sums, *insert = NULL;
    TRY(prepare_sums(release, &sums, err));
    Status status = sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_released\"(release, key, value) VALUES(?1, ?2, ?3)",
        versioned->schema, versioned->name);
    while (status == ST_OK && sql_next(versioned->db, sums, &status, err)) {
        int has_row;
        int64_t noisy = sqlite3_column_int64(sums, 1) +
            noise_gaussian(&chance.source, release->numerator);
        sqlite3_bind_int64(insert, 1, release->id);
        sqlite3_bind_value(insert, 2, sqlite3_column_value(sums, 0));
        sqlite3_bind_double(insert, 3, (double)noisy * release->options.unit);
        status = sql_step(versioned->db, insert, &has_row, err);
        sqlite3_reset(insert);
    }
    chance_end(&chance);
    sqlite3_finalize(sums);
    sqlite3_finalize(insert);
    return status;
}

static Status insert_ledger(Release *release, Err *err) {
    const Versioned *versioned = release->versioned;
    sqlite3_stmt *insert;
    double deviation = sqrt((double)release->numerator / NOISE_DENOMINATOR) * release->options.unit;
    TRY(sql_prepare(versioned->db, &insert, err,
        "INSERT INTO \"%w\".\"%w_ledger\"(at, name, rho, deviation) VALUES(?1, ?2, ?3, ?4)",
        versioned->schema, versioned->name));
    sqlite3_bind_double(insert, 1, live_clock());
    sqlite3_bind_text(insert, 2, release->options.name, -1, SQLITE_STATIC);
    sqlite3_bind_double(insert, 3, release->rho);
    sqlite3_bind_double(insert, 4, deviation);
    TRY(sql_finish(versioned->db, insert, err));
    release->id = sqlite3_last_insert_rowid(versioned->db);
    return ST_OK;
}

static Status write_release(Release *release, Err *err) {
    const Versioned *versioned = release->versioned;
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    TRY(price(release, err));
    TRY(log_ensure(versioned, err)); /* that it is empty is told with noise, too */
    TRY(shadow_ensure(&version_shadow, &owner, "released", err));
    TRY(note_unsettled(versioned->db, err));
    /* the ledger first: what was drawn and not paid for must not be there */
    TRY(insert_ledger(release, err));
    Status status = insert_values(release, err);
    if (status != ST_OK && status != ST_CANCELLED)
        sql_execute(versioned->db, NULL, "DELETE FROM \"%w\".\"%w_released\" WHERE release=%lld",
            versioned->schema, versioned->name, release->id);
    return status;
}

Status command_release(const CommandCall *call, Err *err) {
    VersionedTable *table = call->table;
    Release release = {.versioned = table->id};
    Status status = read_release(&release, call, err);
    if (status == ST_OK) status = write_release(&release, err);
    bytes_format(&table->detail, "{\"release\":%lld,\"name\":\"%s\",\"rho\":%.17g}",
        (long long)release.id, release.options.name, release.rho);
    json_decref(release.keys);
    sqlite3_free(release.keys_json);
    return status;
}

/* ---- rec_released, rec_ledger ---- */

static Status copy_rows(
    const Versioned *versioned, const char *suffix, const char *sql, RowSink *sink, Err *err) {
    ShadowOwner owner = {versioned->db, versioned->schema, versioned->name, versioned};
    sqlite3_stmt *rows;
    int found;
    TRY(shadow_has(&version_shadow, &owner, suffix, &found, err));
    if (!found) return ST_OK;
    TRY(sql_prepare(versioned->db, &rows, err, sql, versioned->schema, versioned->name,
        versioned->schema, versioned->name));
    Status status = ST_OK;
    while (sql_next(versioned->db, rows, &status, err))
        for (int i = 0; i < sqlite3_column_count(rows); i++) row_column(sink, rows, i);
    sqlite3_finalize(rows);
    return status;
}

/* Who may look before the commit can look, roll back, and look again at other noise. */
static Status released_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    if (!sqlite3_get_autocommit(db) || is_unsettled(db))
        return fail(err, ST_BADARG, "what is released can be read after COMMIT");
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    Status status = copy_rows(&versioned, "released",
        "SELECT l.name, l.at, r.key, r.value, l.deviation FROM \"%w\".\"%w_released\" r JOIN "
        "\"%w\".\"%w_ledger\" l ON l.id=r.release ORDER BY r.rowid",
        sink, err);
    version_found_clear(&versioned);
    return status;
}

static Status ledger_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Versioned versioned;
    TRY(version_find(&versioned, db, value_text(argv[0]), err));
    Status status = copy_rows(&versioned, "ledger",
        "SELECT id, at, name, rho, deviation, (SELECT rho FROM \"%w\".\"%w_ledger\" WHERE "
        "id=0)-total(rho) FILTER (WHERE id<>0) OVER (ORDER BY id) FROM \"%w\".\"%w_ledger\" ORDER "
        "BY id",
        sink, err);
    version_found_clear(&versioned);
    return status;
}

int register_privacy(sqlite3 *db) {
    static const RowTable tables[] = {
        {.name = "rec_released",
            .columns = "name TEXT, at REAL, key, value REAL, deviation REAL",
            .n_columns = 5,
            .arguments = ", model HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .fill = released_fill},
        {.name = "rec_ledger",
            .columns = "id INTEGER, at REAL, name TEXT, rho REAL, deviation REAL, remaining REAL",
            .n_columns = 6,
            .arguments = ", model HIDDEN",
            .n_arguments = 1,
            .n_required = 1,
            .fill = ledger_fill},
    };
    return row_tables_register(db, tables, sizeof tables / sizeof *tables);
}
