#include "bandit.h"

#include <math.h>
#include <string.h>

#include "../../base/options.h"
#include "../host/values.h"
#include "experiment_read.h"

typedef struct BanditOptions {
    char metric[ROUTE_NAME];
    int64_t draws, seed, burn_in, top_two;
    double floor;
} BanditOptions;

static const OptSpec bandit_options[] = {
    {"metric", OPT_TEXT, offsetof(BanditOptions, metric), 0, ROUTE_NAME, 0, "",
        "what more is better of; default: the experiment's"},
    {"draws", OPT_INT, offsetof(BanditOptions, draws), 100, 1e7, 10000, NULL,
        "draws of the posteriors"},
    {"seed", OPT_INT, offsetof(BanditOptions, seed), 0, 1e15, 1, NULL, "of the draws"},
    {"burn_in", OPT_INT, offsetof(BanditOptions, burn_in), 2, 1e9, 100, NULL,
        "users that every arm must have before shares move"},
    {"top_two", OPT_FLAG, offsetof(BanditOptions, top_two), 0, 0, 1, NULL,
        "of three arms or more: half of the share goes to the second best of each draw"},
    {"floor", OPT_REAL, offsetof(BanditOptions, floor), 0, .5, .01, NULL, "no arm gets less"},
    {0},
};

/* Flat: what a metric's unit is must not matter. */
static const double PRIOR_VARIANCE = INFINITY;

typedef struct Bandit {
    BanditOptions options;
    ExperimentRun run;
    Estimate estimate[ROUTE_MAX_ARMS];
    double share[ROUTE_MAX_ARMS];
} Bandit;

static Status read_arms(const Versioned *versioned, Bandit *bandit, Err *err) {
    const Experiment *experiment = &bandit->run.experiment;
    ExperimentScope scope = {.before_days = 0};
    ArmTotals totals;
    Measure measure;
    TRY(measure_parse(
        *bandit->options.metric ? bandit->options.metric : experiment->metric, &measure, err));
    TRY(experiment_totals(versioned, &bandit->run, &measure, &scope, &totals, err));
    for (int i = 0; i < experiment->n; i++) {
        if (totals.arm[i].n < (double)bandit->options.burn_in)
            return fail(err, ST_BADARG, "bandit: arm '%s' has %.0f users (burn_in=%lld)",
                experiment->arm[i].name, totals.arm[i].n, (long long)bandit->options.burn_in);
    }
    experiment_estimates(&totals, experiment->n, &measure, bandit->estimate);
    /* an arm in which nothing varies: as if one user more had done what all arms do on average, at
     * least one */
    double scale = 0;
    for (int i = 0; i < experiment->n; i++) scale = fmax(scale, fabs(bandit->estimate[i].value));
    if (!(scale > 0)) scale = 1;
    for (int i = 0; i < experiment->n; i++)
        if (!(bandit->estimate[i].variance > 0))
            bandit->estimate[i].variance = scale * scale / (totals.arm[i].n * totals.arm[i].n);
    return ST_OK;
}

/* What the arms have together stays as it is; the largest takes what rounding leaves. */
static void set_shares(Bandit *bandit, Experiment *experiment) {
    int64_t whole = 0, given = 0;
    for (int i = 0; i < experiment->n; i++) whole += experiment->arm[i].share;
    for (int i = 0; i < experiment->n; i++)
        given += experiment->arm[i].share = llround(bandit->share[i] * (double)whole);
    experiment->arm[experiment_largest(experiment)].share += whole - given;
}

static void describe(const Bandit *bandit, const Experiment *experiment, Bytes *detail) {
    experiment_json(experiment, detail);
    if (!detail->failed) detail->len--; /* its closing brace */
    bytes_format(detail, ",\"seed\":%lld,\"values\":[", (long long)bandit->options.seed);
    for (int i = 0; i < experiment->n; i++)
        bytes_format(detail, "%s%.9g", i ? "," : "", bandit->estimate[i].value);
    bytes_format(detail, "]}");
}

Status command_bandit(const CommandCall *call, Err *err) {
    VersionedTable *table = call->table;
    Bandit bandit;
    OptTarget target = {bandit_options, &bandit.options};
    Live live;
    TRY(value_options(&target, 1, call->arg, err));
    TRY(live_read(table->id, &live, err));
    if (!*live.experiment.name) return fail(err, ST_BADARG, "no experiment runs");
    TRY(experiment_run_read(table->id, live.experiment.name, &bandit.run, err));
    if (bandit.options.floor * live.experiment.n > 1)
        return fail(err, ST_BADARG, "floor=%g for %d arms is more than 1", bandit.options.floor,
            live.experiment.n);
    TRY(read_arms(table->id, &bandit, err));
    thompson_shares(bandit.share, bandit.estimate, live.experiment.n, PRIOR_VARIANCE,
        bandit.options.draws, bandit.options.top_two && live.experiment.n > 2,
        (uint64_t)bandit.options.seed);
    floor_shares(bandit.share, live.experiment.n, bandit.options.floor);
    set_shares(&bandit, &live.experiment);
    describe(&bandit, &live.experiment, &table->detail);
    return live_write(table->id, &live, err);
}
