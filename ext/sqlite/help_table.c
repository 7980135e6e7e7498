/* rec_help([name]): the manual of everything that the extension brings, from the list of names and
 * from the algorithms' own tables. */
#include <string.h>

#include "../learn/predictor.h"
#include "../models/model.h"
#include "host/parts.h"
#include "host/row_table.h"
#include "host/values.h"

typedef enum HelpKind { FUNCTION, AGGREGATE, TABLE, MODULE, COMMAND } HelpKind;

static const char *const KINDS[] = {"function", "aggregate", "table", "module", "command"};

typedef struct HelpEntry {
    HelpKind kind;
    const char *name, *arguments, *meaning, *result, *example, *page;
} HelpEntry;

static const HelpEntry ENTRIES[] = {
#define X(kind, name, arguments, meaning, result, example, page) \
    {kind, name, arguments, meaning, result, example, page},
#include "names.def"
#undef X
};

static void help_row(RowSink *sink, const char *kind, const char *name, const char *arguments,
    const char *meaning, const char *result, const char *example) {
    row_text(sink, kind);
    row_text(sink, name);
    row_text(sink, arguments);
    row_text(sink, meaning);
    row_text(sink, result);
    row_text(sink, example);
}

static void page_cell(RowSink *sink, const char *page) {
    char *path = sqlite3_mprintf("docs/reference/%s", page);
    row_text(sink, path);
    sqlite3_free(path);
}

static void entry_row(RowSink *sink, const HelpEntry *entry) {
    help_row(sink, KINDS[entry->kind], entry->name, entry->arguments, entry->meaning, entry->result,
        entry->example);
    page_cell(sink, entry->page);
}

/* An option: what it may be, what it means, and what it is unless it is given. */
static void option_rows(RowSink *sink, const OptSpec *specs, void *params, const char *page) {
    options_default(specs, params);
    for (const OptSpec *spec = specs; spec->name; spec++) {
        row_text(sink, "option");
        row_text(sink, spec->name);
        row_option_range(sink, spec);
        row_text(sink, spec->help);
        row_option_initial(sink, spec, params);
        row_null(sink);
        page_cell(sink, page);
    }
}

static Status algorithm_rows(
    RowSink *sink, const Algorithm *algorithm, int with_options, Err *err) {
    AlgorithmParams params;
    CommonParams common;
    char page[80];
    char *example = sqlite3_mprintf("CREATE VIRTUAL TABLE recs USING rec_model(events=purchases, "
                                    "user=customer_id, item=product_code, algorithm=%s)",
        algorithm->name);
    if (!example) return fail_nomem(err, "the example");
    sqlite3_snprintf(sizeof page, page, "algorithms.md#%s", algorithm->name);
    help_row(sink, "algorithm", algorithm->name, "options of CREATE and of `train`",
        "rec_help(name) lists them", algorithm->summary, example);
    sqlite3_free(example);
    page_cell(sink, page);
    if (!with_options) return ST_OK;
    option_rows(sink, algorithm->options, &params, page);
    option_rows(sink, model_common_options, &common, "algorithms.md#options-of-all-algorithms");
    return ST_OK;
}

/* The same of an algorithm of rec_predictor. */
static Status learner_rows(RowSink *sink, const Learner *learner, int with_options, Err *err) {
    LearnerParams params;
    PredictorCommon common;
    char page[80];
    int has_label = (learner->tasks & (1u << LEARN_NUMBER | 1u << LEARN_CLASSES)) != 0;
    char *example = sqlite3_mprintf(
        "CREATE VIRTUAL TABLE buy USING rec_predictor(examples=visits, %salgorithm=%s)",
        has_label ? "label=bought, " : "", learner->name);
    if (!example) return fail_nomem(err, "the example");
    sqlite3_snprintf(sizeof page, page, "predictor.md#%s", learner->name);
    help_row(sink, "algorithm", learner->name, "options of CREATE and of `train`",
        "rec_help(name) lists them", learner->summary, example);
    sqlite3_free(example);
    page_cell(sink, page);
    if (!with_options) return ST_OK;
    option_rows(sink, learner->options, &params, page);
    option_rows(sink, predictor_options, &common, "predictor.md#rec_predictor");
    return ST_OK;
}

static Status help_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    const char *wanted = value_text(argv[0]);
    int found = !wanted;
    (void)db;
    for (size_t i = 0; i < sizeof ENTRIES / sizeof *ENTRIES; i++) {
        if (wanted && sqlite3_stricmp(wanted, ENTRIES[i].name) != 0) continue;
        entry_row(sink, &ENTRIES[i]);
        found = 1;
    }
    for (size_t i = 0; algorithm_registry[i]; i++) {
        if (wanted && sqlite3_stricmp(wanted, algorithm_registry[i]->name) != 0) continue;
        TRY(algorithm_rows(sink, algorithm_registry[i], wanted != NULL, err));
        found = 1;
    }
    for (size_t i = 0; learner_registry[i]; i++) {
        if (wanted && sqlite3_stricmp(wanted, learner_registry[i]->name) != 0) continue;
        TRY(learner_rows(sink, learner_registry[i], wanted != NULL, err));
        found = 1;
    }
    return found ? ST_OK
                 : fail(err, ST_BADARG, "there is no '%.60s' (SELECT name FROM rec_help)", wanted);
}

int register_help(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_help",
        .columns = "kind TEXT, name TEXT, arguments TEXT, meaning TEXT, result TEXT, example TEXT, "
                   "page TEXT",
        .n_columns = 7,
        .arguments = ", about HIDDEN",
        .n_arguments = 1,
        .flags = SQLITE_VTAB_INNOCUOUS,
        .fill = help_fill,
    };
    return row_table_register(db, &table);
}
