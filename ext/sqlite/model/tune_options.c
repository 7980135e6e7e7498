/* The options of a tuning, and the trial of one setting. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "tune.h"

const OptSpec tune_options[] = {
    {"algorithm", OPT_TEXT, offsetof(TuneCall, algorithm), 0, 32, 0, "",
        "which one; auto: popular, item_knn, ials, slim, repeat and, where there are times and "
        "20,000 events, sequence in turn, each first with its "
        "defaults; default: the model's"},
    {"trials", OPT_INT, offsetof(TuneCall, trials), 1, 10000, 30, NULL, "settings that are tried"},
    {"sampler", OPT_CHOICE, offsetof(TuneCall, sampler), 0, 0, SEARCH_TPE, "tpe|random|grid",
        "how they are chosen"},
    {"metric", OPT_CHOICE, offsetof(TuneCall, metric), 0, 0, METRIC_NDCG,
        "precision|recall|hit|rr|ap|ndcg", "what is maximised"},
    {"k", OPT_INT, offsetof(TuneCall, k), 1, 1000000, 10, NULL, "cut-off of the metric"},
    {"split", OPT_CHOICE, offsetof(TuneCall, split), 0, 0, SPLIT_TIME, "time|last|random",
        "what is held out: the latest events, every user's last item, or pairs by a hash; of a "
        "model without time= random"},
    {"share", OPT_REAL, offsetof(TuneCall, share), 0.001, 0.9, 0.1, NULL,
        "of split=time: how much is held out"},
    {"folds", OPT_INT, offsetof(TuneCall, folds), 2, 100, 5, NULL,
        "of split=random and rec_crossval: parts of the pairs, of which one is held out at a time"},
    {"judged", OPT_INT, offsetof(TuneCall, judged), 1, 100, 3, NULL,
        "of split=random: so many of the parts are held out in turn, for every setting"},
    {"seed", OPT_INT, offsetof(TuneCall, seed), 0, 9007199254740991.0, 1, NULL,
        "of the sampler, of split=random and of halving"},
    {"until", OPT_TIME, offsetof(TuneCall, until), DATE_FIRST, DATE_LAST, INFINITY, NULL,
        "only events before this time exist"},
    {"halving", OPT_INT, offsetof(TuneCall, halving), 0, 10, 0, NULL,
        "h, 2 or more: successive halving, all settings on a small share of the users, the best of "
        "h on h times as many, ...; 0: all on everybody"},
    {"least_share", OPT_REAL, offsetof(TuneCall, least_share), 0, 1, 0, NULL,
        "of halving: no smaller share of the users than this; 0: one round on 1 / halving of them, "
        "one on all"},
    {"seconds", OPT_REAL, offsetof(TuneCall, seconds), 0, 1e9, 0, NULL,
        "no new trial after so many; 0: no limit"},
    {"exclude_seen", OPT_FLAG, offsetof(TuneCall, exclude_seen), 0, 0, -1, NULL,
        "judge what is new to the user; false: repeats, too; default: the algorithm's own"},
    {"resume", OPT_FLAG, offsetof(TuneCall, resume), 0, 0, 0, NULL,
        "go on with the last tuning: its trials are not run again"},
    {"activate", OPT_CHOICE, offsetof(TuneCall, activate), 0, 0, IF_BETTER,
        "if-better|always|never",
        "train and serve the best setting: if it beats the active version's, always, or not at "
        "all"},
    {"progress", OPT_CHOICE, offsetof(TuneCall, progress), 0, 0, 0, "none|stderr",
        "print lines on stderr"},
    {0},
};

static Status read_json(
    TuneCall *call, const char *text, const char *also, json_t **other, int *has_split, Err *err) {
    json_error_t json_error;
    OptTarget target = {tune_options, call};
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
    if (json_lacks_memory(root, &json_error)) return fail_nomem(err, "the options");
    if (!json_is_object(root)) {
        json_decref(root);
        return fail(err, ST_BADARG, "options: %s (a JSON object such as {\"trials\": 30})",
            root ? "not an object" : json_error.text);
    }
    json_t *space = json_object_get(root, "space");
    if (space) call->space = json_incref(space);
    json_object_del(root, "space");
    if (also) *other = json_incref(json_object_get(root, also));
    if (also) json_object_del(root, also);
    *has_split |= json_object_get(root, "split") != NULL;
    char *rest = json_dumps(root, 0);
    Status status = rest ? options_set_json(&target, 1, rest, err) : fail_nomem(err, "the options");
    free(rest);
    json_decref(root);
    return status;
}

Status tune_call_read(TuneCall *call, const ModelDefinition *definition, const char *text,
    const char *also, json_t **other, Err *err) {
    int has_split = 0;
    memset(call, 0, sizeof *call);
    options_default(tune_options, call);
    if (definition->automatic)
        TRY(read_json(call, definition->automatic, NULL, NULL, &has_split, err));
    if (text) TRY(read_json(call, text, also, other, &has_split, err));
    if (call->halving == 1) return fail(err, ST_BADARG, "halving=1 (0, or 2..10)");
    if (call->halving && call->least_share > 1 / (double)call->halving)
        return fail(err, ST_BADARG, "least_share=%g leaves halving=%d nothing to halve (up to %g)",
            call->least_share, (int)call->halving, 1 / (double)call->halving);
    if (!has_split && !definition->time) call->split = SPLIT_RANDOM;
    if (call->judged > call->folds) call->judged = call->folds;
    return ST_OK;
}

void tune_call_clear(TuneCall *call) {
    json_decref(call->space);
    call->space = NULL;
}

Status tune_argument(Bytes *json, const char *key, const char *value, int *known, Err *err) {
    static const char *const not_here[] = {"algorithm", "resume", "activate", "progress", "until"};
    const OptSpec *spec = options_find(tune_options, key);
    TuneCall call = {0};
    for (size_t i = 0; spec && i < sizeof not_here / sizeof *not_here; i++)
        if (strcmp(key, not_here[i]) == 0) spec = NULL;
    *known = spec != NULL;
    if (!spec) return ST_OK;
    TRY(options_set(spec, &call, value, err));
    bytes_format(json, ",\"%s\":", key);
    options_value_json(spec, &call, json);
    return json->failed ? fail_nomem(err, "the options") : ST_OK;
}
