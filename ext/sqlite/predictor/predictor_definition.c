#include "predictor_definition.h"

#include <string.h>

#include "../host/guard.h"
#include "../host/schema.h"
#include "predictor_table.h"
#include "predictor_version.h"

const char *const predictor_column_names[N_PREDICTOR_COLUMNS] = {
#define X(constant, name, type) name,
    PREDICTOR_COLUMNS(X)
#undef X
};

/* The text arguments, by name. */
typedef struct Place {
    const char *key;
    char **text;
} Place;
enum { N_PLACES = 7 };

static void places_of(PredictorDefinition *d, Place out[N_PLACES]) {
    const Place places[N_PLACES] = {{"examples", &d->examples}, {"label", &d->label},
        {"id", &d->row_id}, {"weight", &d->weight}, {"split", &d->split}, {"group", &d->group},
        {"time", &d->time}};
    memcpy(out, places, sizeof places);
}

void predictor_definition_clear(PredictorDefinition *definition) {
    Place place[N_PLACES];
    places_of(definition, place);
    for (int i = 0; i < N_PLACES; i++) sqlite3_free(*place[i].text);
    sqlite3_free(definition->id_type);
    sqlite3_free(definition->id.schema);
    sqlite3_free(definition->id.name);
    *definition = (PredictorDefinition){0};
}

Status predictor_algorithms(Bytes *out, Err *err) {
    for (size_t i = 0; learner_registry[i]; i++)
        bytes_format(out, "%s|", learner_registry[i]->name);
    bytes_append(out, "auto", 5);
    if (!out->failed) return ST_OK;
    bytes_clear(out);
    return fail_nomem(err, "the algorithms");
}

void predictor_set_learner(PredictorSetting *setting, const Learner *learner) {
    setting->learner = learner;
    if (learner) options_default(learner->options, &setting->params);
}

static Status set_algorithm(PredictorDefinition *definition, const char *name, Err *err) {
    const Learner *learner = learner_find(name);
    Bytes names = {0};
    options_default(predictor_options, &definition->setting.common);
    options_default(feature_options, &definition->setting.common.prepare);
    definition->is_automatic = strcmp(name, "auto") == 0;
    predictor_set_learner(&definition->setting, learner);
    if (learner || definition->is_automatic) return ST_OK;
    TRY(predictor_algorithms(&names, err));
    Status status = fail(err, ST_BADARG, "algorithm=%.60s (%s)", name, names.data);
    bytes_clear(&names);
    return status;
}

typedef struct OwnOptions {
    int64_t keep;
} OwnOptions;

static const OptSpec own_options[] = {
    {"keep", OPT_INT, offsetof(OwnOptions, keep), 0, 1e6, 0, NULL,
        "versions that stay, the newest (and the active one and the one before it); 0: all"},
    {0},
};

static Status unknown(const PredictorDefinition *definition, const char *key, Err *err) {
    const Learner *learner = definition->setting.learner;
    const OptSpec *tables[] = {
        learner ? learner->options : predictor_options, learner ? predictor_options : NULL, NULL};
    TRY(options_unknown(tables, key, err) == ST_BADARG ? ST_OK : ST_NOMEM);
    Err rest = *err;
    const char *allowed = strstr(rest.text, "(allowed: ");
    return fail(err, ST_BADARG,
        "unknown option '%.60s' (allowed: examples, label, id, weight, split, group, time, keep, "
        "algorithm, %.420s",
        key, allowed ? allowed + 10 : ")");
}

static Status set_argument(
    PredictorDefinition *definition, const char *key, const char *value, Err *err) {
    Place place[N_PLACES];
    PredictorSetting *setting = &definition->setting;
    OwnOptions own;
    if (strcmp(key, "algorithm") == 0 || strcmp(key, "format") == 0 ||
        strcmp(key, "last_version") == 0 || strcmp(key, "id_type") == 0)
        return ST_OK;
    places_of(definition, place);
    for (int i = 0; i < N_PLACES; i++) {
        if (strcmp(place[i].key, key) != 0) continue;
        *place[i].text = sqlite3_mprintf("%s", value);
        return *place[i].text ? ST_OK : fail_nomem(err, "the arguments");
    }
    if (strcmp(key, own_options->name) == 0) {
        TRY(options_set(own_options, &own, value, err));
        definition->id.keep = own.keep;
        return ST_OK;
    }
    const OptSpec *spec = setting->learner ? options_find(setting->learner->options, key) : NULL;
    if (spec) return options_set(spec, &setting->params, value, err);
    spec = options_find(predictor_options, key);
    return spec ? options_set(spec, &setting->common, value, err) : unknown(definition, key, err);
}

static Status definition_set(
    PredictorDefinition *definition, const Arguments *arguments, Err *err) {
    const char *algorithm = "auto";
    for (int i = 0; i < arguments->n; i++)
        if (strcmp(arguments->key[i], "algorithm") == 0) algorithm = arguments->value[i];
    TRY(set_algorithm(definition, algorithm, err));
    for (int i = 0; i < arguments->n; i++)
        TRY(set_argument(definition, arguments->key[i], arguments->value[i], err));
    if (!definition->examples)
        return fail(err, ST_BADARG, "examples= is needed, the table or view to learn from");
    if (!definition->label && definition->is_automatic)
        return fail(err, ST_BADARG,
            "label= is needed, the column to predict (or algorithm=kmeans, pca or gaussian, which "
            "need none)");
    return ST_OK;
}

static Status take_id_type(PredictorDefinition *definition, Err *err) {
    const Versioned *id = &definition->id;
    Status status = ST_OK;
    sqlite3_free(definition->id_type);
    definition->id_type = NULL;
    if (definition->row_id)
        status = schema_column_type(id->db, id->schema, definition->examples, definition->row_id,
            &definition->id_type, err);
    definition->id_affinity = affinity_of(definition->id_type ? definition->id_type : "INTEGER");
    return status;
}

/* Every column that is named must be there. */
static Status check_columns(PredictorDefinition *definition, Err *err) {
    Place place[N_PLACES];
    places_of(definition, place);
    for (int i = 1; i < N_PLACES; i++) {
        char *type = NULL;
        if (!*place[i].text) continue;
        TRY(schema_column_type(definition->id.db, definition->id.schema, definition->examples,
            *place[i].text, &type, err));
        sqlite3_free(type);
    }
    TRY(guard_source(definition->id.db, definition->id.schema, definition->examples, 0, err));
    return take_id_type(definition, err);
}

static Status definition_name(
    PredictorDefinition *definition, sqlite3 *db, const char *schema, const char *name, Err *err) {
    *definition = (PredictorDefinition){.id = {.db = db, .kind = &predictor_kind}};
    definition->id.schema = sqlite3_mprintf("%s", schema);
    definition->id.name = sqlite3_mprintf("%s", name);
    return definition->id.schema && definition->id.name ? ST_OK : fail_nomem(err, "the predictor");
}

ShadowOwner predictor_owner(const PredictorDefinition *definition) {
    return (ShadowOwner){
        definition->id.db, definition->id.schema, definition->id.name, &definition->id};
}

Status predictor_check_name(const char *name, Err *err) {
    int clash = sqlite3_stricmp(name, "rowid") == 0;
    for (int i = 0; i < N_PREDICTOR_COLUMNS; i++)
        clash |= i != P_COMMAND && sqlite3_stricmp(name, predictor_column_names[i]) == 0;
    return clash ? fail(err, ST_BADARG,
                       "a rec_predictor cannot be named '%s', which is one of its columns", name)
                 : ST_OK;
}

Status predictor_definition_load(
    PredictorDefinition *out, sqlite3 *db, const char *schema, const char *name, Err *err) {
    Arguments arguments = {0};
    Status status = definition_name(out, db, schema, name, err);
    if (status == ST_OK) status = config_load(&out->id, &arguments, err);
    if (status == ST_OK) status = definition_set(out, &arguments, err);
    for (int i = 0; i < arguments.n && status == ST_OK; i++) /* as CREATE found it */
        if (strcmp(arguments.key[i], "id_type") == 0)
            out->id_affinity = affinity_of(arguments.value[i]);
    arguments_clear(&arguments);
    if (status != ST_OK) predictor_definition_clear(out);
    return status;
}

Status predictor_definition_find(
    PredictorDefinition *out, sqlite3 *db, const char *name, Err *err) {
    char *schema, *table;
    *out = (PredictorDefinition){0};
    if (!name) return fail(err, ST_BADARG, "the predictor's name is NULL");
    TRY(schema_find_table(db, "rec_predictor", name, "_versions", &schema, &table, err));
    Status status = predictor_definition_load(out, db, schema, table, err);
    sqlite3_free(schema);
    sqlite3_free(table);
    return status;
}

Status predictor_definition_create(
    PredictorDefinition *definition, sqlite3 *db, int argc, const char *const *argv, Err *err) {
    Arguments arguments = {0};
    Status status = definition_name(definition, db, argv[1], argv[2], err);
    if (status == ST_OK) status = predictor_check_name(argv[2], err);
    if (status == ST_OK) status = arguments_split(&arguments, argc, argv, err);
    for (int i = 0; i < arguments.n && status == ST_OK; i++)
        if (strcmp(arguments.key[i], "id_type") == 0 || strcmp(arguments.key[i], "format") == 0 ||
            strcmp(arguments.key[i], "last_version") == 0)
            status = unknown(definition, arguments.key[i], err);
    if (status == ST_OK) status = definition_set(definition, &arguments, err);
    if (status == ST_OK) status = check_columns(definition, err);
    if (status == ST_OK) {
        ShadowOwner owner = predictor_owner(definition);
        status = shadow_create(&version_shadow, &owner, err);
    }
    if (status == ST_OK) status = config_save_arguments(&definition->id, &arguments, err);
    if (status == ST_OK)
        status = config_save(
            &definition->id, "id_type", definition->id_type ? definition->id_type : "INTEGER", err);
    arguments_clear(&arguments);
    return status;
}
